import { connect } from "node:net";
import {
  callHeaders,
  codes,
  createFrameReader,
  envelope,
  flags,
  frame,
  frameKinds,
  hello,
} from "../../testing/http2-frames.ts";

/** A connection to a gRPC port, as a client sees it that writes each frame itself. */
export interface Http2Peer extends Disposable {
  /** Each GOAWAY: its code, and whether it still takes what is on its way. */
  readonly goaways: { readonly code: number; readonly takesMore: boolean }[];
  isClosed(): boolean;
  /** Calls a method of the probe service, or the one at a path, with a small request: how it ended. */
  call(method: string, authorization?: string): Promise<CallEnd>;
  /** Begins a call. `end` sends the request, default a small one, and resolves when it has ended: in one frame, or with so many bytes in each. */
  begin(
    method: string,
    authorization?: string,
  ): { readonly isOpen: () => boolean; readonly end: (request?: Uint8Array, frameBytes?: number) => Promise<CallEnd> };
  /** Begins a call, sends so much of its request, default nothing, and resets it at once. */
  cancel(method: string, authorization?: string, sent?: Uint8Array): void;
  ping(): void;
}

/** Answered with a message, refused without one, or reset with a code; closed when the connection ended before. */
type CallEnd = "answered" | "refused" | "closed" | `reset ${number}`;

/** ProbeRequest of the name "a". */
const request = envelope(Buffer.from([0x0a, 1, 0x61]));
const lastStream = 2 ** 31 - 1;

/**
 * Opens a connection from an address of the loopback. Default 127.0.0.1. Of each reply it takes `window` bytes; default 65 535. Calls name
 * `forwardedFor`, unless it is empty, as a proxy does.
 */
export function openHttp2(address: string, from = "127.0.0.1", { window = 65_535, forwardedFor = "" } = {}): Http2Peer {
  const { hostname, port } = new URL(`http://${address}`);
  const socket = connect({ host: hostname, port: Number(port), localAddress: from, noDelay: true });
  const goaways: Http2Peer["goaways"] = [];
  const waiting = new Map<number, (end: CallEnd) => void>();
  const answered = new Set<number>();
  let last = -1;
  const settle = (stream: number, end: CallEnd): void => {
    waiting.get(stream)?.(end);
    waiting.delete(stream);
  };
  const read = createFrameReader(({ kind, flag, stream, payload }) => {
    if (kind === frameKinds.goaway) {
      goaways.push({ code: payload.readUInt32BE(4), takesMore: payload.readUInt32BE(0) === lastStream });
    }
    if (kind === frameKinds.reset) settle(stream, `reset ${payload.readUInt32BE(0)}`);
    if (kind === frameKinds.data && payload.length > 0) answered.add(stream);
    const isOver = (kind === frameKinds.data || kind === frameKinds.headers) && (flag & flags.endStream) !== 0;
    if (isOver) settle(stream, answered.has(stream) ? "answered" : "refused");
  });
  socket.on("data", read);
  socket.on("error", () => undefined); // It is closed then, which is what counts.
  socket.on("close", () => {
    for (const stream of waiting.keys()) settle(stream, "closed");
  });
  const begin: Http2Peer["begin"] = (method, authorization) => {
    const stream = (last += 2);
    const ended = new Promise<CallEnd>((resolve) =>
      socket.destroyed ? resolve("closed") : waiting.set(stream, resolve),
    );
    socket.write(frame(frameKinds.headers, flags.endHeaders, stream, headersOf(method, authorization, forwardedFor)));
    return {
      isOpen: () => waiting.has(stream),
      end: (sent = request, frameBytes = sent.length) => {
        for (let at = 0; at < sent.length; at += frameBytes) {
          const isLast = at + frameBytes >= sent.length;
          const flag = isLast ? flags.endStream : 0;
          socket.write(frame(frameKinds.data, flag, stream, sent.subarray(at, at + frameBytes)));
        }
        return ended;
      },
    };
  };
  socket.write(hello);
  if (window !== 65_535) socket.write(frame(frameKinds.settings, 0, 0, initialWindow(window)));
  return {
    goaways,
    isClosed: () => socket.destroyed,
    begin,
    call: (method, authorization) => begin(method, authorization).end(),
    cancel: (method, authorization, sent) => {
      const stream = (last += 2);
      socket.write(frame(frameKinds.headers, flags.endHeaders, stream, headersOf(method, authorization)));
      if (sent !== undefined) socket.write(frame(frameKinds.data, 0, stream, sent));
      socket.write(frame(frameKinds.reset, 0, stream, Buffer.from([0, 0, 0, codes.cancel])));
    },
    ping: () => socket.write(frame(frameKinds.ping, 0, 0, Buffer.alloc(8))),
    [Symbol.dispose]: () => socket.destroy(),
  };
}

function headersOf(method: string, authorization = "", forwardedFor = ""): Buffer {
  const path = method.startsWith("/") ? method : `/muin.probe.v1.ProbeService/${method}`;
  const headers = [
    ["authorization", authorization],
    ["x-forwarded-for", forwardedFor],
  ] as const;
  return callHeaders(
    path,
    headers.filter(([, value]) => value !== ""),
  );
}

/** SETTINGS_INITIAL_WINDOW_SIZE. */
function initialWindow(bytes: number): Uint8Array {
  const payload = Buffer.from([0, 4, 0, 0, 0, 0]);
  payload.writeUInt32BE(bytes, 2);
  return payload;
}
