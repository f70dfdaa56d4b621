import { createServer } from "node:net";

/**
 * A loopback TCP port that nobody listens on now: `preferred` if it is free, else one that the system chooses. Another
 * process can take it before it is used, so whoever uses it must be able to ask again.
 */
export async function freePort(preferred?: number): Promise<number> {
  if (preferred !== undefined) {
    const free = await probe(preferred).catch(() => undefined);
    if (free !== undefined) return free;
  }
  return probe(0);
}

function probe(port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen({ host: "127.0.0.1", port, exclusive: true }, () => {
      const address = server.address();
      server.close(() => {
        if (address === null || typeof address === "string") reject(new Error("no TCP port"));
        else resolve(address.port);
      });
    });
  });
}
