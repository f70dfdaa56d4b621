import type { Socket } from "bun";

/** A TCP proxy on loopback in front of a server, for tests. */
export interface LossyProxy extends Disposable {
  readonly port: number;
  /**
   * After `spared` more parts of replies the next is thrown away and its connection cut: what was asked has been done, and
   * nobody hears of it.
   */
  loseReply(spared: number): void;
  /** Replies lost so far. */
  lost(): number;
  /** Cuts all connections, and accepts none; or accepts them again. */
  cut(isCut: boolean): void;
}

interface Side {
  peer: Socket<Side> | undefined;
  /** Bytes that came before the peer was there. */
  early: Buffer[];
}

/** Starts a proxy to `port`. */
export function startLossyProxy(port: number): LossyProxy {
  let spare = Number.POSITIVE_INFINITY;
  let lost = 0;
  let isAway = false;
  const clients = new Set<Socket<Side>>();
  const listener = Bun.listen<Side>({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      open: (client) => {
        client.data = { peer: undefined, early: [] };
        if (isAway) {
          client.terminate();
          return;
        }
        clients.add(client);
        void Bun.connect<Side>({
          hostname: "127.0.0.1",
          port,
          data: { peer: client, early: [] },
          socket: {
            open: (server) => {
              client.data.peer = server;
              for (const bytes of client.data.early) server.write(bytes);
            },
            data: (server, bytes) => {
              spare -= 1;
              if (spare < 0) {
                spare = Number.POSITIVE_INFINITY;
                lost += 1;
                server.end();
                client.end();
                return;
              }
              client.write(bytes);
            },
            close: () => {
              client.end();
            },
          },
        }).catch(() => client.end());
      },
      data: (client, bytes) => {
        if (client.data.peer === undefined) client.data.early.push(bytes);
        else client.data.peer.write(bytes);
      },
      close: (client) => {
        clients.delete(client);
        client.data.peer?.end();
      },
    },
  });
  return {
    port: listener.port,
    loseReply: (spared) => {
      spare = spared;
    },
    lost: () => lost,
    cut: (isCut) => {
      isAway = isCut;
      if (isCut) for (const client of clients) client.terminate();
    },
    [Symbol.dispose]: () => listener.stop(true),
  };
}
