import { connect } from "node:net";
import { createFrameReader, frameKinds, hello } from "../../internal/platform/testing/http2-frames.ts";

/** A connection of an attacker, and what it saw. */
export interface Peer {
  readonly openedMs: number;
  /** Answers that began: responses of HTTP/1.1, header blocks of HTTP/2. */
  answers: number;
  /** Streams that the server reset. */
  resets: number;
  /** Codes with which the server said that it takes no more. */
  readonly goaways: number[];
  /** Status of each HTTP/1.1 response. */
  readonly statuses: string[];
  /** When the server closed it; `undefined` while it is open. */
  closedMs: number | undefined;
  /** Resolves when it is closed, by whomever. */
  readonly closed: Promise<void>;
  /** Resolves when more may be written, or it was closed. */
  write(...parts: readonly (Uint8Array | string)[]): Promise<void>;
  close(): void;
}

/** Where a connection goes, and the address of the loopback that it comes from. */
export interface PeerOptions {
  readonly port: number;
  readonly from: string;
  /** What is spoken: HTTP/2, which begins with its hello, HTTP/1.1, or nothing at all. */
  readonly speaks: "http2" | "http1" | "nothing";
}

/** Opens a connection. One that is refused counts as closed at once. */
export function openPeer({ port, from, speaks }: PeerOptions): Promise<Peer> {
  const socket = connect({ host: "127.0.0.1", port, localAddress: from, noDelay: true });
  const closed = Promise.withResolvers<void>();
  let own = false;
  const peer: Peer = {
    openedMs: performance.now(),
    answers: 0,
    resets: 0,
    goaways: [],
    statuses: [],
    closedMs: undefined,
    closed: closed.promise,
    write: async (...parts) => {
      if (socket.destroyed) return;
      const bytes = parts.map((part) => (typeof part === "string" ? Buffer.from(part, "latin1") : part));
      if (socket.write(Buffer.concat(bytes))) return;
      await Promise.race([closed.promise, new Promise((resolve) => socket.once("drain", resolve))]);
    },
    close: () => {
      own = true;
      socket.destroy();
    },
  };
  const read = createFrameReader(({ kind, payload }) => {
    if (kind === frameKinds.headers) peer.answers += 1;
    if (kind === frameKinds.reset) peer.resets += 1;
    if (kind === frameKinds.goaway) peer.goaways.push(payload.readUInt32BE(4));
  });
  socket.on("data", (chunk: Buffer) => {
    if (speaks === "http2") return read(chunk);
    for (const [, status] of chunk.toString("latin1").matchAll(/HTTP\/1\.1 (\d{3})/g)) {
      peer.answers += 1;
      peer.statuses.push(status as string);
    }
  });
  socket.on("error", () => undefined); // It is closed then, which is what counts.
  socket.on("close", () => {
    if (!own) peer.closedMs = performance.now();
    closed.resolve();
  });
  return new Promise((resolve) => {
    socket.once("close", () => resolve(peer));
    socket.once("connect", () => {
      if (speaks === "http2") socket.write(hello);
      resolve(peer);
    });
  });
}
