/** Limits on the connections of both ports. A connection is a stranger's until a call on it showed good credentials. */
export interface ConnectionLimits {
  /** Strangers' connections to the gRPC port of one network, and in all. Beyond: the oldest of whoever has most is closed. */
  readonly strangersPerNetworkMax: number;
  readonly strangersMax: number;
  /** Streams on strangers' connections of one network. Beyond: RESOURCE_EXHAUSTED. */
  readonly strangerStreamsPerNetworkMax: number;
  /** The same in all. Beyond: the connection with most of them, of the network with most of them, is closed. */
  readonly strangerStreamsMax: number;
  /** Streams that a stranger may reset at once, and how many more per second. Beyond: ENHANCE_YOUR_CALM. */
  readonly strangerResetsMax: number;
  readonly strangerResetsPerS: number;
  /** SETTINGS and PING of a stranger at once, and how many more per second. Beyond: ENHANCE_YOUR_CALM. */
  readonly strangerControlsMax: number;
  readonly strangerControlsPerS: number;
  /** New connections of strangers to the gRPC port, of one network at once, and how many more per second. Beyond: closed at once. */
  readonly strangerConnectionsMax: number;
  readonly strangerConnectionsPerS: number;
  /** Requests on both ports without credentials, of one network at once, and how many more per second; ten probes are one. Beyond: RESOURCE_EXHAUSTED. */
  readonly strangerRequestsMax: number;
  readonly strangerRequestsPerS: number;
  /** Such refusals at once, and how many more per second. Beyond: a stranger's connection to the gRPC port ends with ENHANCE_YOUR_CALM. */
  readonly strangerRefusalsMax: number;
  readonly strangerRefusalsPerS: number;
  /** How long a peer may take to say hello on the gRPC port, in TLS and then in HTTP/2, in milliseconds. */
  readonly helloMsMax: number;
  /** How long a connection to the gRPC port may have no call, in milliseconds: a stranger's, and a known caller's. */
  readonly strangerIdleMsMax: number;
  readonly knownIdleMsMax: number;
  /** How old a connection to the gRPC port may become before its peer is told to open another one, in milliseconds. */
  readonly strangerAgeMsMax: number;
  readonly knownAgeMsMax: number;
  /** How long calls go on that a stranger has on a connection that became too old, in milliseconds. A known caller's go on to their end. */
  readonly strangerLastCallsMsMax: number;
  /** How long a stranger on the gRPC port may take to read a reply that is written, in milliseconds. */
  readonly strangerReplyMsMax: number;
  /** Streams that a known caller may reset on one connection at once, and how many more per second. */
  readonly knownResetsMax: number;
  readonly knownResetsPerS: number;
  /** Headers of one request on the gRPC port. */
  readonly headersMax: number;
  /** How long a connection to the HTTP port may be silent, in whole seconds, 255 at the most. A known caller's long call is not cut. */
  readonly httpIdleSMax: number;
}

/** The limits when nothing else is configured. */
export const defaultConnectionLimits: ConnectionLimits = {
  strangersPerNetworkMax: 256,
  strangersMax: 2048,
  strangerStreamsPerNetworkMax: 1024,
  strangerStreamsMax: 8192,
  strangerResetsMax: 100,
  strangerResetsPerS: 10,
  strangerControlsMax: 100,
  strangerControlsPerS: 10,
  strangerConnectionsMax: 256,
  strangerConnectionsPerS: 20,
  strangerRequestsMax: 200,
  strangerRequestsPerS: 100,
  strangerRefusalsMax: 100,
  strangerRefusalsPerS: 10,
  helloMsMax: 10_000,
  strangerIdleMsMax: 60_000,
  knownIdleMsMax: 60 * 60_000,
  strangerAgeMsMax: 30 * 60_000,
  knownAgeMsMax: 12 * 60 * 60_000,
  strangerLastCallsMsMax: 30_000,
  strangerReplyMsMax: 30_000,
  knownResetsMax: 10_000,
  knownResetsPerS: 1000,
  headersMax: 128,
  httpIdleSMax: 120,
};
