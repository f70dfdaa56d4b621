/** A stream entry's id: milliseconds, "-", a number that grows within the millisecond. */
export type StreamId = string;

/** Negative, 0 or positive, as `a` stands before, at or behind `b`. */
export function compareStreamIds(a: StreamId, b: StreamId): number {
  const [[aMs, aSequence], [bMs, bSequence]] = [partsOf(a), partsOf(b)];
  return aMs === bMs ? aSequence - bSequence : aMs - bMs;
}

/** An id just before another: behind it and before the other there is no entry. */
export function streamIdBefore(id: StreamId): StreamId {
  const [ms, sequence] = partsOf(id);
  return sequence > 0 ? `${ms}-${sequence - 1}` : `${Math.max(0, ms - 1)}-${ms > 0 ? Number.MAX_SAFE_INTEGER : 0}`;
}

function partsOf(id: StreamId): readonly [ms: number, sequence: number] {
  const [ms = 0, sequence = 0] = id.split("-").map(Number);
  return [ms, sequence];
}
