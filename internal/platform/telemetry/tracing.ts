import { ROOT_CONTEXT, SpanKind, SpanStatusCode, trace, type Attributes, type Span } from "@opentelemetry/api";
import { parseTraceParent, setGlobalErrorHandler } from "@opentelemetry/core";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-proto";
import { resourceFromAttributes } from "@opentelemetry/resources";
import {
  BatchSpanProcessor,
  ParentBasedSampler,
  TraceIdRatioBasedSampler,
  TracerProvider,
} from "@opentelemetry/sdk-trace";
import { activeTrace, runInTrace, type ActiveTrace } from "./active-trace.ts";
import type { Logger } from "./logger.ts";

/** Where spans go, and of how many calls. */
export interface TracingOptions {
  /** Base address of an OTLP/HTTP collector, such as "http://collector:4318"; `undefined` or empty turns tracing off. */
  readonly endpoint: string | undefined;
  /** Share of the traces that begin here, 0 to 1. A trace that came with a call keeps its own decision. */
  readonly sampleRatio: number;
  readonly service: string;
  readonly version: string;
  /** Names this process among those of its service. */
  readonly instance: string;
  readonly log: Logger;
}

/** Makes spans. */
export interface Tracing {
  /** False: spans are nothing and cost nothing. */
  readonly on: boolean;
  /** Begins a span. Whoever begins it ends it. */
  startSpan(options: SpanOptions): TraceSpan;
  /** Sends what is left, for at most `exportTimeoutMs`. Idempotent. */
  shutdown(): Promise<void>;
}

/** What a span is about. */
export interface SpanOptions {
  readonly name: string;
  readonly kind: keyof typeof spanKinds;
  /** W3C trace context that came with the work; without one the active span is the parent, or the span begins a trace. */
  readonly parent: string | undefined;
  readonly attributes?: Attributes;
}

/** Work that is traced. */
export interface TraceSpan {
  /** W3C trace context to hand on; `undefined` when tracing is off. */
  readonly traceparent: string | undefined;
  /** The work ended: with an error when one is given, by its code or name. Only the first end counts. */
  end(error?: string): void;
  /** Runs `work` with this span active. */
  run<T>(work: () => T): T;
}

/** Spans wait for the collector at most this long, at shutdown too. */
export const exportTimeoutMs = 3000;
/** More finished spans than this are dropped while the collector is slow. */
const queuedSpansMax = 16_384;
const exportBatchMax = 2048;

const spanKinds = {
  server: SpanKind.SERVER,
  client: SpanKind.CLIENT,
  producer: SpanKind.PRODUCER,
  consumer: SpanKind.CONSUMER,
  internal: SpanKind.INTERNAL,
} as const;

const noSpan: TraceSpan = { traceparent: undefined, end: () => {}, run: (work) => work() };
const noTracing: Tracing = { on: false, startSpan: () => noSpan, shutdown: async () => {} };

/** Makes the tracing of a process. Spans are sent in batches by OTLP/HTTP; a collector that is away costs spans, nothing else. */
export function createTracing(options: TracingOptions): Tracing {
  const { endpoint, log } = options;
  if (endpoint === undefined || endpoint === "") return noTracing;
  setGlobalErrorHandler((error) => log.warn("spans could not be sent", { err: error }));
  const exporter = new OTLPTraceExporter({
    url: `${endpoint.replace(/\/+$/, "")}/v1/traces`,
    timeoutMillis: exportTimeoutMs,
  });
  const provider = new TracerProvider({
    resource: resourceFromAttributes({
      "service.name": options.service,
      "service.version": options.version,
      "service.instance.id": options.instance,
    }),
    sampler: new ParentBasedSampler({ root: new TraceIdRatioBasedSampler(options.sampleRatio) }),
    spanProcessors: [
      new BatchSpanProcessor({
        exporter,
        maxQueueSize: queuedSpansMax,
        maxExportBatchSize: exportBatchMax,
        exportTimeoutMillis: exportTimeoutMs,
      }),
    ],
  });
  const tracer = provider.getTracer("muin", options.version);
  let stopping: Promise<void> | undefined;
  return {
    on: true,
    startSpan: ({ name, kind, parent, attributes }) => {
      const traceparent = parent ?? activeTrace()?.traceparent;
      const remote = traceparent === undefined ? null : parseTraceParent(traceparent);
      const context =
        remote === null ? ROOT_CONTEXT : trace.setSpanContext(ROOT_CONTEXT, { ...remote, isRemote: true });
      return new OpenSpan(
        tracer.startSpan(name, { kind: spanKinds[kind], ...(attributes === undefined ? {} : { attributes }) }, context),
      );
    },
    shutdown: () =>
      (stopping ??= provider.shutdown().catch((error: unknown) => {
        log.warn("the last spans could not be sent", { err: error });
      })),
  };
}

class OpenSpan implements TraceSpan, ActiveTrace {
  readonly traceId: string;
  readonly spanId: string;
  readonly #span: Span;
  readonly #flags: number;
  #ended = false;

  constructor(span: Span) {
    const context = span.spanContext();
    this.traceId = context.traceId;
    this.spanId = context.spanId;
    this.#flags = context.traceFlags;
    this.#span = span;
  }

  get traceparent(): string {
    return `00-${this.traceId}-${this.spanId}-${this.#flags === 0 ? "00" : "01"}`;
  }

  end(error?: string): void {
    if (this.#ended) return;
    this.#ended = true;
    if (error !== undefined) {
      this.#span.setAttribute("error.type", error);
      this.#span.setStatus({ code: SpanStatusCode.ERROR });
    }
    this.#span.end();
  }

  run<T>(work: () => T): T {
    return runInTrace(this, work);
  }
}
