/** What a span says of its work. Never content: no messages, no input or output of tools, no texts of errors. */
export type SpanAttributes = Readonly<
  Record<string, string | number | boolean | readonly string[] | undefined>
>;

export interface SpanOptions {
  /** Which side of a call it is. Default: neither, `internal`. */
  readonly kind?: 'internal' | 'server' | 'client';
  readonly attributes?: SpanAttributes;
  /** Headers of the request that is answered: the span goes on with the trace that they name (`traceparent`). */
  readonly from?: Headers;
}

/** A piece of work in a trace. */
export interface Span {
  /** Runs work as a part of the span: spans that begin there are its children, also after it waited for something. */
  run<T>(work: () => T): T;
  set(attributes: SpanAttributes): void;
  /** Puts the span into the headers of a request, so that the other side goes on with the trace. */
  carry(header: Headers): void;
  /** @param failure a machine-readable reason: the span failed; undefined: it did not */
  end(failure?: string): void;
}

/** Traces of this process. */
export interface Tracing {
  /** Begins a span: a part of the one that is active. */
  startSpan(name: string, options?: SpanOptions): Span;
  /** Lets the active span point at work that it has to do with and that is no part of it. */
  linkActive(to: Span): void;
  /** Fields of log lines that are written within a span. */
  logFields(): LogFields | undefined;
  /** Sends what has ended so far. */
  flush(): Promise<void>;
  /** Sends what is left, within a short time. */
  close(): Promise<void>;
}

/** The names by which log lines are found for a span, as OpenTelemetry has them. */
export interface LogFields {
  readonly trace_id: string;
  readonly span_id: string;
}

let active: Tracing | undefined;

/** Undefined where traces are not wanted: then nothing of them is loaded, and asking is all that they cost. */
export function activeTracing(): Tracing | undefined {
  return active;
}

/** Says where spans go from now on. */
export function setTracing(tracing: Tracing | undefined): void {
  active = tracing;
}
