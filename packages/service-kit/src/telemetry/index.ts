export { inSpan } from './in-span.ts';
export { observeTransport } from './observe-transport.ts';
export type { OutgoingCall, TransportObserver } from './observe-transport.ts';
export { startTracing } from './start-tracing.ts';
export { traceTransport } from './trace-transport.ts';
export { activeTracing } from './tracing.ts';
export type { Span, SpanAttributes, SpanOptions, Tracing } from './tracing.ts';
