export { block, brokenJson, redactedThinking, text, thinking, toolUse } from './blocks.ts';
export type { Block, ChunkOptions, ToolUse, ToolUseOptions } from './blocks.ts';
export { burst } from './burst.ts';
export type { BurstOptions } from './burst.ts';
export type { ScriptedUsage } from './message.ts';
export type { Outcome } from './play.ts';
export {
  countEvents,
  cutAfter,
  endAfter,
  hold,
  httpError,
  midStreamError,
  rawEvents,
  reply,
  silence,
} from './replies.ts';
export type { HttpErrorOptions, Reply, ReplyLike, ReplyOptions } from './replies.ts';
export { lastText, toolResults } from './script.ts';
export type { ReplyFunction, Script, ScriptedRequest, ScriptedRequestBody } from './script.ts';
export { startScriptedModel } from './server.ts';
export type { ScriptedModel, ScriptedModelOptions } from './server.ts';
export { messagesProblem } from './validate-messages.ts';
export { validateRequest } from './validate-request.ts';
export type { ValidateOptions } from './validate-request.ts';
