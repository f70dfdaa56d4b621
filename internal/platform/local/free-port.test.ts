import { describe, expect, test } from "bun:test";
import { createServer, type Server } from "node:net";
import { readFile } from "node:fs/promises";
import { systemRandom } from "../clock/random.ts";
import { freePort } from "./free-port.ts";

function listenOn(port: number): Promise<Server> {
  const server = createServer();
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, "127.0.0.1", () => resolve(server));
  });
}

describe("a free port", () => {
  test("is none that the system gives to outgoing connections", async () => {
    const range = await readFile("/proc/sys/net/ipv4/ip_local_port_range", "utf8");
    const [low = 0] = range.split(/\s+/).map(Number);
    for (let count = 0; count < 50; count += 1) {
      const port = await freePort(systemRandom);
      if (low >= 21_000) expect(port).toBeLessThan(low);
      expect(port).toBeGreaterThanOrEqual(1024);
    }
  });

  test("is the preferred one while that is free, and another once it is taken", async () => {
    const preferred = await freePort(systemRandom);
    expect(await freePort(systemRandom, preferred)).toBe(preferred);
    const server = await listenOn(preferred);
    expect(await freePort(systemRandom, preferred)).not.toBe(preferred);
    await new Promise((resolve) => server.close(resolve));
  });
});
