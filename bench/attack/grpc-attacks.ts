import { gzipSync } from "node:zlib";
import {
  again,
  flood,
  openPeers,
  type Outcome,
  type Size,
  stillOpen,
  summarize,
  type Target,
  untilClosed,
} from "./attack-kit.ts";
import {
  callHeaders,
  codes,
  envelope,
  flags,
  frame,
  frameKinds,
  headerBlock,
} from "../../internal/platform/testing/http2-frames.ts";
import type { Peer } from "./peer.ts";

/** What anybody may call, and what asks for credentials. */
export const publicPath = "/muin.identity.v1.AuthService/SignIn";
const guardedPath = "/muin.count.v1.CountWriteService/Increment";
const watchPath = "/grpc.health.v1.Health/Watch";
const reflectionPath = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";

/** A GOAWAY may be lost when the connection ends while the attacker writes: what counts is that it ends. */
const closeMsMax = 5000;
/** Five times what is promised: a connection that says nothing ends after 10 s. */
const silentMsMax = 50_000;
const cancelled = Buffer.from([0, 0, 0, codes.cancel]);
const noMessage = envelope(new Uint8Array());
/** `list_services` of a reflection request. */
const listServices = envelope(Buffer.from([0x3a, 0x01, 0x2a]));
const heldBytes = 4 << 20;
/** As much as anybody may send; four of them are within the window of a connection. */
export const bytewiseBytes = 16_000;
/** Packed it fits into one frame. */
const bombBytes = 12 << 20;

/** Nine connections, each with a thousand calls of which only the headers come. */
export async function emptyCalls(target: Target, size: Size): Promise<Outcome> {
  const peers = await openGrpc(target, 9);
  const sent = await flood(peers, size.whole ? 1000 : 200, size, (place) =>
    callHead(place, place % 2 === 0 ? guardedPath : publicPath),
  );
  await untilClosed(peers, size.untilMs);
  return summarize(peers, sent);
}

/** Watches of health, each a call that never ends. */
export async function watchFlood(target: Target, size: Size): Promise<Outcome> {
  const peers = await openGrpc(target, 9);
  const sent = await flood(peers, size.whole ? 1000 : 200, size, (place) => call(place, watchPath, noMessage));
  await untilClosed(peers, size.untilMs);
  return summarize(peers, sent);
}

/** Reflection: a small request with an answer of many kilobytes. */
export async function reflectionFlood(target: Target, size: Size): Promise<Outcome> {
  const peers = await openGrpc(target, 4);
  const sent = await flood(peers, size.whole ? 2000 : 200, size, (place) => call(place, reflectionPath, listServices));
  await untilClosed(peers, performance.now() + closeMsMax / 5);
  return summarize(peers, sent);
}

/** Streams that are opened and reset at once, more than any limit on open ones would ever see. */
export async function rapidReset(target: Target, size: Size): Promise<Outcome> {
  const peers = await openGrpc(target, 4);
  const sent = await flood(peers, size.whole ? 20_000 : 3000, size, (place) =>
    Buffer.concat([callHead(place, publicPath), frame(frameKinds.reset, 0, streamOf(place), cancelled)]),
  );
  return afterFlood(peers, sent, "a flood of resets");
}

/** A block of headers that never ends. */
export async function continuationFlood(target: Target, size: Size): Promise<Outcome> {
  const peers = await openGrpc(target, 4);
  const more = frame(frameKinds.continuation, 0, 1, headerBlock([["x-more", "y".repeat(900)]]));
  for (const peer of peers) await peer.write(frame(frameKinds.headers, 0, 1, callHeaders(publicPath)));
  const sent = await flood(peers, size.whole ? 20_000 : 3000, size, () => more);
  return afterFlood(peers, sent, "a flood of CONTINUATION");
}

/** Settings, each of which wants an acknowledgement. */
export async function settingsFlood(target: Target, size: Size): Promise<Outcome> {
  const peers = await openGrpc(target, 4);
  const settings = frame(frameKinds.settings, 0, 0, Buffer.from([0, 4, 0, 0, 255, 255]));
  const sent = await flood(peers, size.whole ? 50_000 : 5000, size, () => settings);
  return afterFlood(peers, sent, "a flood of SETTINGS");
}

/** Pings, each of which wants an answer. */
export async function pingFlood(target: Target, size: Size): Promise<Outcome> {
  const peers = await openGrpc(target, 4);
  const ping = frame(frameKinds.ping, 0, 0, Buffer.alloc(8));
  const sent = await flood(peers, size.whole ? 50_000 : 5000, size, () => ping);
  return afterFlood(peers, sent, "a flood of PING");
}

/** Messages of a few kilobytes that are some megabytes when unpacked. */
export async function grpcBomb(target: Target, size: Size): Promise<Outcome> {
  const peers = await openGrpc(target, 2);
  const bomb = envelope(gzipSync(Buffer.alloc(bombBytes)), { compressed: true });
  const sent = await flood(peers, size.whole ? 400 : 40, size, (place) =>
    call(place, publicPath, bomb, [["grpc-encoding", "gzip"]]),
  );
  await untilClosed(peers, performance.now() + closeMsMax / 5);
  return summarize(peers, sent);
}

/** Messages that come at once, each byte in a frame of its own. */
export async function byteFrames(target: Target, size: Size): Promise<Outcome> {
  const peers = await openGrpc(target, size.whole ? 32 : 8);
  const message = envelope(Buffer.alloc(bytewiseBytes));
  const sent = await flood(peers, 4, size, (place) => {
    const bytes = Array.from(message, (_, at) =>
      frame(frameKinds.data, 0, streamOf(place), message.subarray(at, at + 1)),
    );
    return Buffer.concat([
      callHead(place, publicPath),
      ...bytes,
      frame(frameKinds.data, flags.endStream, streamOf(place)),
    ]);
  });
  await untilClosed(peers, performance.now() + closeMsMax / 5);
  return summarize(peers, sent);
}

/** Messages that are said to be large, and of which a byte comes now and then. */
export async function heldBodies(target: Target, size: Size): Promise<Outcome> {
  const peers = await openGrpc(target, 2);
  const streams = size.whole ? 60 : 20;
  const sent = await flood(peers, streams, size, (place) =>
    Buffer.concat([
      callHead(place, publicPath),
      frame(frameKinds.data, 0, streamOf(place), envelope(Buffer.alloc(900), { length: heldBytes })),
    ]),
  );
  await again(size.untilMs, 1000, async () => {
    for (const peer of peers) {
      for (let place = 0; place < streams; place += 1) {
        await peer.write(frame(frameKinds.data, 0, streamOf(place), Buffer.from("x")));
      }
    }
    return peers.every(({ closedMs }) => closedMs !== undefined);
  });
  return summarize(peers, sent);
}

/** Connections that are opened, and on which nothing is said, or no more than hello. */
export async function silentConnections(target: Target, size: Size): Promise<Outcome> {
  const count = size.whole ? 1000 : 50;
  const peers = [
    ...(await openPeers(target, count, { port: target.grpcPort, speaks: "nothing" })),
    ...(await openPeers(target, count, { port: target.grpcPort, speaks: "http2" })),
  ];
  const silent = peers.slice(0, count);
  await untilClosed(peers, Math.min(size.untilMs, performance.now() + silentMsMax));
  return summarize(peers, peers.length, stillOpen(silent, "their silence"));
}

async function afterFlood(peers: readonly Peer[], sent: number, what: string): Promise<Outcome> {
  await untilClosed(peers, performance.now() + closeMsMax);
  return summarize(peers, sent, stillOpen(peers, what));
}

function openGrpc(target: Target, count: number): Promise<readonly Peer[]> {
  return openPeers(target, count, { port: target.grpcPort, speaks: "http2" });
}

/** Stream of the `place`-th call of a connection. */
function streamOf(place: number): number {
  return 2 * place + 1;
}

/** A deadline far beyond what anybody may name. */
const late = ["grpc-timeout", "24H"] as const;

/** A call of which only the headers come. */
function callHead(place: number, path: string): Buffer {
  return frame(frameKinds.headers, flags.endHeaders, streamOf(place), callHeaders(path, [late]));
}

/** A whole call. */
function call(
  place: number,
  path: string,
  body: Uint8Array,
  more: readonly (readonly [string, string])[] = [],
): Buffer {
  return Buffer.concat([
    frame(frameKinds.headers, flags.endHeaders, streamOf(place), callHeaders(path, [late, ...more])),
    frame(frameKinds.data, flags.endStream, streamOf(place), body),
  ]);
}
