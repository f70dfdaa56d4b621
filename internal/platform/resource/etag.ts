/** The etag of what a caller saw (AIP-154), from the version that grows with every change of it; of two versions, from both. */
export function etagOf(...versions: readonly number[]): string {
  return `v${versions.join(".")}`;
}

/** Whether a change may be made that was asked for with an etag: it must be the current one; an empty one asks for nothing. */
export function isCurrent(given: string, current: string): boolean {
  return given === "" || given === current;
}
