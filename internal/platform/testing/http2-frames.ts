/** Kinds of HTTP/2 frames (RFC 9113, section 6). */
export const frameKinds = {
  data: 0,
  headers: 1,
  reset: 3,
  settings: 4,
  ping: 6,
  goaway: 7,
  continuation: 9,
} as const;

/** Flags: no more frames follow in the stream, or in the header block. */
export const flags = { endStream: 1, endHeaders: 4, acknowledgement: 1 } as const;

/** Codes by which a stream or a connection ends (RFC 9113, section 7). */
export const codes = { cancel: 8, enhanceYourCalm: 11 } as const;

const prefaceText = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const headBytes = 9;
const none = new Uint8Array();

/** What a client says first: the preface and settings, which leave all as it is. */
export const hello: Buffer = Buffer.concat([Buffer.from(prefaceText), frame(frameKinds.settings, 0, 0)]);

/** A frame as it goes over the wire, right or wrong. */
export function frame(kind: number, flag: number, stream: number, payload: Uint8Array = none): Buffer {
  const bytes = Buffer.alloc(headBytes + payload.length);
  bytes.writeUIntBE(payload.length, 0, 3);
  bytes[3] = kind;
  bytes[4] = flag;
  bytes.writeUInt32BE(stream, 5);
  bytes.set(payload, headBytes);
  return bytes;
}

/** A header block of literals that no table keeps (RFC 7541, section 6.2.2). */
export function headerBlock(headers: readonly (readonly [name: string, value: string])[]): Buffer {
  const parts = headers.flatMap(([name, value]) => [Buffer.from([0]), literal(name), literal(value)]);
  return Buffer.concat(parts);
}

function literal(text: string): Buffer {
  const bytes = Buffer.from(text, "latin1");
  const length: number[] = [];
  let rest = bytes.length;
  if (rest < 127) {
    length.push(rest);
  } else {
    length.push(127);
    for (rest -= 127; rest >= 128; rest = Math.floor(rest / 128)) length.push((rest % 128) + 128);
    length.push(rest);
  }
  return Buffer.concat([Buffer.from(length), bytes]);
}

/** A message of gRPC in its envelope; `length` is told when it is not that of the bytes. */
export function envelope(message: Uint8Array, { compressed = false, length = message.length } = {}): Buffer {
  const head = Buffer.alloc(5);
  head[0] = compressed ? 1 : 0;
  head.writeUInt32BE(length, 1);
  return Buffer.concat([head, message]);
}

/** The headers of a call of gRPC. */
export function callHeaders(path: string, more: readonly (readonly [name: string, value: string])[] = []): Buffer {
  return headerBlock([
    [":method", "POST"],
    [":scheme", "http"],
    [":path", path],
    [":authority", "muin"],
    ["content-type", "application/grpc"],
    ["te", "trailers"],
    ...more,
  ]);
}

/** A frame that was received. */
export interface Frame {
  readonly kind: number;
  readonly flag: number;
  readonly stream: number;
  readonly payload: Buffer;
}

/** Cuts what is received into frames: give it each chunk; it tells of each frame once it is whole. */
export function createFrameReader(onFrame: (frame: Frame) => void): (chunk: Buffer) => void {
  let rest: Buffer = Buffer.alloc(0);
  return (chunk) => {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    while (rest.length >= headBytes) {
      const end = headBytes + rest.readUIntBE(0, 3);
      if (rest.length < end) return;
      onFrame({
        kind: rest[3] as number,
        flag: rest[4] as number,
        stream: rest.readUInt32BE(5),
        payload: rest.subarray(headBytes, end),
      });
      rest = rest.subarray(end);
    }
  };
}
