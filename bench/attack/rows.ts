import type { Outcome, Size, Target } from "./attack-kit.ts";
import {
  byteFrames,
  continuationFlood,
  emptyCalls,
  grpcBomb,
  heldBodies,
  pingFlood,
  rapidReset,
  reflectionFlood,
  settingsFlood,
  silentConnections,
  watchFlood,
} from "./grpc-attacks.ts";
import {
  byteChunks,
  emptyHttpCalls,
  heldHttpBodies,
  httpBomb,
  httpContinuationFlood,
  httpControlFlood,
  idleHttp,
  keyFlood,
  pageFlood,
  rapidHttpReset,
  signInFlood,
  signUpFlood,
  slowBodies,
  slowHeads,
} from "./http-attacks.ts";

/** An attack. */
export interface Row {
  readonly id: string;
  readonly title: string;
  /** Where the attackers' connections come from: one address of the loopback, or another one for each. */
  readonly spread: "one" | "many";
  /** Whether it goes on until it is ended: it waits far more than it works, so that several can be played at the same time. */
  readonly lasts: boolean;
  /** Whether a person, known to Muin, signs in meanwhile. */
  readonly signsIn: boolean;
  run(target: Target, size: Size): Promise<Outcome>;
}

/** All attacks, in the order in which they run. */
export const rows: readonly Row[] = [
  row("grpc-silent", "connections that say nothing", silentConnections, { lasts: true }),
  row("grpc-empty-calls", "9 connections, 1000 calls each, headers only", emptyCalls, { lasts: true }),
  row("grpc-empty-calls-spread", "the same, each connection from another address", emptyCalls, {
    spread: "many",
    lasts: true,
  }),
  row("grpc-watch-flood", "9 connections, 1000 watches of health each", watchFlood, { lasts: true }),
  row("grpc-reflection-flood", "reflection, asked again and again", reflectionFlood),
  row("grpc-rapid-reset", "streams opened and reset at once", rapidReset),
  row("grpc-continuation-flood", "a header block without end", continuationFlood),
  row("grpc-settings-flood", "SETTINGS without end", settingsFlood),
  row("grpc-ping-flood", "PING without end", pingFlood),
  row("grpc-bomb", "gzip: 12 KiB that are 12 MiB", grpcBomb),
  row("grpc-byte-frames", "messages of 16 KiB, a frame for each byte", byteFrames),
  row("grpc-held-bodies", "messages of 4 MiB that never come", heldBodies, { lasts: true }),
  row("http-slow-heads", "a line of a request head each second", slowHeads, { lasts: true }),
  row("http-slow-bodies", "a byte of a body each second", slowBodies, { lasts: true }),
  row("http-held-bodies", "60 bodies of 4 MiB without their last byte", heldHttpBodies, { lasts: true }),
  row("http-bomb", "brotli and gzip: up to 64 KiB that are 64 MiB", httpBomb),
  row("http-byte-chunks", "messages of 16 KiB, a chunk for each byte", byteChunks),
  row("http-page-flood", "pages, asked for by nobody in particular", pageFlood),
  row("http-empty-calls", "9 HTTP/2 connections, calls of headers only", emptyHttpCalls, { lasts: true }),
  row("http-rapid-reset", "streams opened and reset at once", rapidHttpReset),
  row("http-continuation-flood", "a header block without end", httpContinuationFlood),
  row("http-control-flood", "SETTINGS and PING without end", httpControlFlood),
  row("http-idle", "connections that made one request", idleHttp, { lasts: true }),
  row("http-key-flood", "API keys, guessed", keyFlood),
  row("sign-up-flood", "10 000 sign-ups over 80 connections", signUpFlood, { signsIn: true }),
  row("sign-up-flood-spread", "the same, each connection from another address", signUpFlood, {
    spread: "many",
    signsIn: true,
  }),
  row("sign-in-flood", "4000 wrong passwords over 80 connections", signInFlood, { signsIn: true }),
];

function row(
  id: string,
  title: string,
  run: Row["run"],
  { spread = "one", lasts = false, signsIn = false }: Partial<Pick<Row, "spread" | "lasts" | "signsIn">> = {},
): Row {
  return { id, title, run, spread, lasts, signsIn };
}

/** Addresses of the `place`-th row's attackers: no row shares one with another, nor with the known callers. */
export function addressesOf(row: Row): Target["from"] {
  const number = 2 + rows.indexOf(row);
  return row.spread === "one" ? () => `127.0.0.${number}` : (place) => `127.0.${number}.${1 + (place % 250)}`;
}
