/** Thrown when a source cannot be read, or not to its end; the message says why. */
export class SourceError extends Error {
  override readonly name: string = "SourceError";
}

/** Thrown when the bytes of a source are not those that were written: none of them can be relied on. */
export class DamagedSourceError extends SourceError {
  override readonly name = "DamagedSourceError";
}

/** Thrown when a source is not the one that was counted before. */
export class OtherSourceError extends SourceError {
  override readonly name = "OtherSourceError";
}
