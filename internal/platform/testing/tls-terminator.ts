import { once } from "node:events";
import { connect, type AddressInfo } from "node:net";
import { createServer, type TlsOptions } from "node:tls";

/** A port that speaks TLS in front of a server that does not. */
export interface TlsTerminator extends AsyncDisposable {
  readonly port: number;
}

/** Starts one on loopback, in front of `port`. */
export async function startTlsTerminator(port: number, options: TlsOptions): Promise<TlsTerminator> {
  const open = new Set<{ destroy(): unknown }>();
  const server = createServer(options, (client) => {
    const behind = connect(port, "127.0.0.1");
    for (const [side, other] of [
      [client, behind],
      [behind, client],
    ] as const) {
      open.add(side);
      side.pipe(other);
      side.on("error", () => other.destroy());
      side.on("close", () => {
        open.delete(side);
        other.destroy();
      });
    }
  });
  server.on("tlsClientError", () => undefined); // The client hears of it.
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    [Symbol.asyncDispose]: async () => {
      for (const side of open) side.destroy();
      server.close();
    },
  };
}
