/** The model that both sides talk to: a scripted Messages API in a process of its own. */
import { burst, lastText, startScriptedModel } from '@agentx/testing';
import { FULL, PACED } from '../parameters.ts';

const { deltas, deltaText, perDeltaMs } = FULL;
const atOnce = burst(deltas, { deltaText });
const paced = burst(deltas, { deltaText, perDeltaMs });

const model = await startScriptedModel({
  replies: (request) => (lastText(request).startsWith(PACED) ? paced : atOnce),
});
console.log(`model on ${model.url}`);
