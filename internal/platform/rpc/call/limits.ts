/** Limits of the RPC layer. Each lane keeps them all. */
export interface RpcLimits {
  /** Largest request message in bytes, decompressed. Beyond: RESOURCE_EXHAUSTED. */
  readonly readBytesMax: number;
  /** Largest reply message in bytes. */
  readonly writeBytesMax: number;
  /** How long a unary call may take when its caller names no deadline, in milliseconds. Streams have none. */
  readonly timeoutMsDefault: number;
  /** Longest deadline that a caller may name, in milliseconds. Beyond: INVALID_ARGUMENT. */
  readonly timeoutMsMax: number;
  /** Calls in flight in this process. Beyond: RESOURCE_EXHAUSTED at once, to be tried again later. */
  readonly callsInFlightMax: number;
  /** When a call that was refused for load is to be tried again, in milliseconds. */
  readonly overloadRetryAfterMs: number;
  /** Bytes of all headers of one request on the gRPC port. The HTTP port has Bun's own 16 KiB. */
  readonly headerBytesMax: number;
  /** Streams in flight on one HTTP/2 connection of the gRPC port. */
  readonly streamsPerConnectionMax: number;
}

/** The limits when nothing else is configured. */
export const defaultRpcLimits: RpcLimits = {
  readBytesMax: 4 * 1024 * 1024,
  writeBytesMax: 64 * 1024 * 1024,
  timeoutMsDefault: 30_000,
  timeoutMsMax: 24 * 60 * 60_000,
  callsInFlightMax: 8192,
  overloadRetryAfterMs: 100,
  headerBytesMax: 16 * 1024,
  streamsPerConnectionMax: 1024,
};
