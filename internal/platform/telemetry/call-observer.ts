/** Watches calls: counts them, times them and traces them. One per side, server or client. */
export interface CallObserver {
  /** A call begins. Whoever begins a call ends its span, whatever happens. */
  begin(call: ObservedCall): CallSpan;
}

/** What is known of a call when it begins. */
export interface ObservedCall {
  /** Full name of the RPC service, such as "muin.count.v1.CountWriteService". */
  readonly service: string;
  /** Method's name, such as "Increment". */
  readonly method: string;
  /** "connect", "grpc", "grpc-web", "rest" or "in-process". */
  readonly protocol: string;
  /** W3C trace context that the caller sent. */
  readonly traceparent: string | undefined;
}

/** A call that is under way. */
export interface CallSpan {
  /** W3C trace context to hand on with calls and events that this call causes; `undefined` when tracing is off. */
  readonly traceparent: string | undefined;
  /** The call ended: "ok" or an error code as `ErrorCode` names them. Only the first end counts. */
  end(code: string): void;
  /** Runs `work` with this call's span active, so that log lines, events and calls made in it belong to the trace. */
  run<T>(work: () => T): T;
}
