import { connect, type Socket } from "node:net";

/** A request as it goes over the wire. */
export interface WireRequest {
  readonly path: string;
  readonly contentType: string;
  /** Beside those of all requests. Default: none. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Latin-1 text: each character is one byte. */
  readonly body: string;
}

/** Keep-alive HTTP/1.1 connections, each with one request on its way. Cheap enough to leave the machine to the server. */
export interface HttpConnections {
  /** Sends on one connection; resolves with the body of a 200, rejects with what else was answered. */
  send(connection: number, request: WireRequest): Promise<Buffer>;
  close(): void;
}

/** Opens `count` connections to the origin `url`. Answers must carry a content-length, as those of unary calls do. */
export async function openHttpConnections(
  url: string,
  count: number,
  headers: Readonly<Record<string, string>>,
): Promise<HttpConnections> {
  const { hostname, port, host } = new URL(url);
  const common = textOf({ host, ...headers });
  const connections = await Promise.all(
    Array.from({ length: count }, () => openConnection(hostname, Number(port), common)),
  );
  return {
    send: (connection, request) => (connections[connection] as Connection).send(request),
    close: () => {
      for (const connection of connections) connection.close();
    },
  };
}

function textOf(headers: Readonly<Record<string, string>>): string {
  return Object.entries(headers)
    .map(([name, value]) => `${name}: ${value}\r\n`)
    .join("");
}

interface Connection {
  send(request: WireRequest): Promise<Buffer>;
  close(): void;
}

async function openConnection(hostname: string, port: number, common: string): Promise<Connection> {
  const socket = await new Promise<Socket>((resolve, reject) => {
    const opening = connect({ host: hostname, port, noDelay: true }, () => resolve(opening));
    opening.once("error", reject);
  });
  let pending: PromiseWithResolvers<Buffer> | undefined;
  let received: Buffer = Buffer.alloc(0);
  const fail = (error: Error): void => {
    pending?.reject(error);
    pending = undefined;
  };
  socket.on("data", (chunk: Buffer) => {
    received = received.length === 0 ? chunk : Buffer.concat([received, chunk]);
    const headEnd = received.indexOf("\r\n\r\n");
    if (headEnd < 0) return;
    const head = received.toString("latin1", 0, headEnd);
    const length = Number(/\r\ncontent-length: *(\d+)/i.exec(head)?.[1]);
    if (Number.isNaN(length)) return fail(new Error("an answer without content-length"));
    if (received.length < headEnd + 4 + length) return;
    const body = received.subarray(headEnd + 4, headEnd + 4 + length);
    received = received.subarray(headEnd + 4 + length);
    const status = head.slice(9, 12);
    if (status === "200") {
      pending?.resolve(body);
      pending = undefined;
    } else {
      fail(new Error(`HTTP ${status}`));
    }
  });
  socket.on("error", fail);
  let closed = false;
  socket.on("close", () => {
    closed = true;
    fail(new Error("the connection was closed"));
  });
  return {
    send: ({ path, contentType, headers = {}, body }) => {
      if (closed) return Promise.reject(new Error("the connection was closed"));
      pending = Promise.withResolvers<Buffer>();
      socket.write(
        `POST ${path} HTTP/1.1\r\n${common}${textOf(headers)}content-type: ${contentType}\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
        "latin1",
      );
      return pending.promise;
    },
    close: () => {
      socket.removeAllListeners();
      socket.destroy();
    },
  };
}
