import { readFile } from "node:fs/promises";
import { createServer } from "node:net";
import type { Random } from "../clock/random.ts";

/** Ports are chosen from here up to where the system's own choices begin. */
const portMin = 20_000;
/** Where the system's choices begin unless it says otherwise. */
const ephemeralMinDefault = 32_768;
/** With fewer ports than this to choose from, the system chooses. */
const portsMin = 1000;
const portAttemptsMax = 100;

/**
 * A loopback TCP port that nobody listens on now: `preferred` if it is free, else one below those that the system gives to
 * outgoing connections. A client that tries to reach a server on one of the latter while the server is down can be given that very port,
 * be connected to itself, and keep the server from coming back. Another process can take the port before it is used, so whoever uses it must be
 * able to ask again.
 */
export async function freePort(random: Random, preferred?: number): Promise<number> {
  if (preferred !== undefined && (await isFree(preferred))) return preferred;
  const ports = (await ephemeralMin()) - portMin;
  const attemptsMax = ports >= portsMin ? portAttemptsMax : 0;
  for (let attempt = 0; attempt < attemptsMax; attempt += 1) {
    const port = portMin + Math.floor(random.fraction() * ports);
    if (await isFree(port)) return port;
  }
  return listen(0);
}

async function ephemeralMin(): Promise<number> {
  const range = await readFile("/proc/sys/net/ipv4/ip_local_port_range", "utf8").catch(() => ""); // Hidden in some containers.
  return Number(/^\d+/.exec(range)?.[0] ?? ephemeralMinDefault);
}

function isFree(port: number): Promise<boolean> {
  return listen(port).then(
    () => true,
    () => false, // Taken, or not for us: of no use either way.
  );
}

/** Listens for a moment; resolves with the port. */
function listen(port: number): Promise<number> {
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
