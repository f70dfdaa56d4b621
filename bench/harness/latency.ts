import { build, type Histogram } from "hdr-histogram-js";

/** The longest latency that is told apart, in microseconds. */
const latencyUsMax = 60_000_000;

/** Latencies of a window, in milliseconds. */
export interface Latency {
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
}

/** Collects latencies with three significant digits. */
export interface LatencyRecorder {
  record(ms: number): void;
  summary(): Latency;
}

/** Creates an empty recorder. */
export function createLatencyRecorder(): LatencyRecorder {
  const histogram: Histogram = build({
    lowestDiscernibleValue: 1,
    highestTrackableValue: latencyUsMax,
    numberOfSignificantValueDigits: 3,
  });
  return {
    record: (ms) => histogram.recordValue(Math.min(latencyUsMax, Math.max(1, Math.round(ms * 1000)))),
    summary: () => ({
      p50: histogram.getValueAtPercentile(50) / 1000,
      p99: histogram.getValueAtPercentile(99) / 1000,
      max: histogram.maxValue / 1000,
    }),
  };
}
