import type { Policy } from "../../../gen/muin/platform/v1/options_pb.ts";

/** Limits of the RPC layer. Each lane keeps them all. */
export interface RpcLimits {
  /** Largest request message in bytes, decompressed, of a method that names no other. Beyond: RESOURCE_EXHAUSTED. */
  readonly readBytesMax: number;
  /** The same for a method that anybody may call. */
  readonly publicReadBytesMax: number;
  /** Whether Brotli is taken where anybody may call: its window is memory for whoever asks. */
  readonly takesPublicBrotli: boolean;
  /** Largest reply message in bytes. */
  readonly writeBytesMax: number;
  /** How long a unary call may take when its caller names no deadline, in milliseconds. Streams have none. */
  readonly timeoutMsDefault: number;
  /** Longest deadline that a caller may name, in milliseconds. Beyond: INVALID_ARGUMENT. */
  readonly timeoutMsMax: number;
  /** Longest that a unary call of a method that anybody may call takes, whatever deadline its caller names, in milliseconds. */
  readonly publicTimeoutMsMax: number;
  /** How long the body of a request may take to arrive, in milliseconds, for each MiB that its method takes. Beyond: REQUEST_LATE. */
  readonly bodyMsMax: number;
  /** Bytes held of the known callers' bodies that are on their way: of one caller, and in all. Beyond: RESOURCE_EXHAUSTED. */
  readonly bodyBytesPerCallerMax: number;
  readonly bodyBytesMax: number;
  /** The same for anonymous callers: of one peer, and in all. */
  readonly anonymousBodyBytesPerPeerMax: number;
  readonly anonymousBodyBytesMax: number;
  /** Known callers' calls in flight in this process. Beyond: RESOURCE_EXHAUSTED at once, to be tried again later. */
  readonly callsInFlightMax: number;
  /** Unary calls of anonymous callers in flight: of one peer, and in all. */
  readonly anonymousCallsPerPeerMax: number;
  readonly anonymousCallsMax: number;
  /** Streams of anonymous callers, such as health watches: of one peer, and in all. */
  readonly anonymousStreamsPerPeerMax: number;
  readonly anonymousStreamsMax: number;
  /** After what time the stream of an anonymous caller ends, without error, in milliseconds. */
  readonly anonymousStreamMsMax: number;
  /** Calls that wait until it is known who makes them: of one peer, and in all. */
  readonly unidentifiedCallsPerPeerMax: number;
  readonly unidentifiedCallsMax: number;
  /** When a call that was refused for load is to be tried again, in milliseconds. */
  readonly overloadRetryAfterMs: number;
  /** Bytes of all headers of one request on the gRPC port. The HTTP port takes 32 KiB, `headBytesMax`. */
  readonly headerBytesMax: number;
  /** Streams in flight on one HTTP/2 connection of the gRPC port. */
  readonly streamsPerConnectionMax: number;
}

/** The limits when nothing else is configured. */
export const defaultRpcLimits: RpcLimits = {
  readBytesMax: 1024 * 1024,
  publicReadBytesMax: 16 * 1024,
  takesPublicBrotli: false,
  writeBytesMax: 64 * 1024 * 1024,
  timeoutMsDefault: 30_000,
  timeoutMsMax: 24 * 60 * 60_000,
  publicTimeoutMsMax: 30_000,
  bodyMsMax: 10_000,
  bodyBytesPerCallerMax: 64 * 1024 * 1024,
  bodyBytesMax: 256 * 1024 * 1024,
  anonymousBodyBytesPerPeerMax: 1024 * 1024,
  anonymousBodyBytesMax: 16 * 1024 * 1024,
  callsInFlightMax: 8192,
  anonymousCallsPerPeerMax: 64,
  anonymousCallsMax: 1024,
  anonymousStreamsPerPeerMax: 16,
  anonymousStreamsMax: 256,
  anonymousStreamMsMax: 30 * 60_000,
  unidentifiedCallsPerPeerMax: 1024,
  unidentifiedCallsMax: 8192,
  overloadRetryAfterMs: 100,
  headerBytesMax: 16 * 1024,
  streamsPerConnectionMax: 1024,
};

/** Largest request message, in bytes, decompressed, of a method with this policy. */
export function readBytesMaxOf(policy: Policy | undefined, limits: RpcLimits): number {
  if (policy === undefined) return limits.readBytesMax;
  if (policy.requestBytesMax > 0) return policy.requestBytesMax;
  return policy.public ? limits.publicReadBytesMax : limits.readBytesMax;
}
