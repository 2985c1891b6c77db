import type {
  ContentBlockParam,
  DocumentBlockParam,
  ImageBlockParam,
  RedactedThinkingBlockParam,
  ThinkingBlockParam,
} from '@anthropic-ai/sdk/resources/messages/messages';
import type { FilePart, ImagePart, ThinkingPart, UserPart } from '@agentx/gen/agentx/common/v1/message_pb.ts';

/** Undefined where the part has nothing to send. */
export function userBlock({ part }: UserPart): ContentBlockParam | undefined {
  switch (part.case) {
    case 'text':
      return part.value.text.trim() === '' ? undefined : { type: 'text', text: part.value.text };
    case 'image':
      return part.value.data.length === 0 ? undefined : imageBlock(part.value);
    case 'file':
      return part.value.data.length === 0 ? undefined : documentBlock(part.value);
    case undefined:
      return undefined;
  }
}

/** Undefined for thinking that was cut before its signature: the provider would refuse it. */
export function thinkingBlock(
  part: ThinkingPart,
): ThinkingBlockParam | RedactedThinkingBlockParam | undefined {
  if (part.redacted !== '') return { type: 'redacted_thinking', data: part.redacted };
  if (part.signature === '') return undefined;
  return { type: 'thinking', thinking: part.text, signature: part.signature };
}

/** The JSON object that a text is; undefined where it is anything else. */
export function parseObject(json: string): object | undefined {
  try {
    const value: unknown = JSON.parse(json);
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? value : undefined;
  } catch {
    // Not JSON: a model was cut, or wrote nonsense.
    return undefined;
  }
}

function imageBlock({ mediaType, data }: ImagePart): ImageBlockParam {
  return {
    type: 'image',
    // The contract allows exactly the API's four media types.
    source: { type: 'base64', media_type: mediaType as 'image/png', data: toBase64(data) },
  };
}

function documentBlock({ mediaType, data, filename }: FilePart): DocumentBlockParam | undefined {
  const title = filename === '' ? {} : { title: filename };
  if (mediaType === 'application/pdf') {
    return {
      type: 'document',
      source: { type: 'base64', media_type: mediaType, data: toBase64(data) },
      ...title,
    };
  }
  // The API takes plain text as it is.
  const text = new TextDecoder().decode(data);
  if (text.trim() === '') return undefined;
  return { type: 'document', source: { type: 'text', media_type: 'text/plain', data: text }, ...title };
}

function toBase64(data: Uint8Array): string {
  return Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString('base64');
}
