import type { Clock } from "../clock/clock.ts";
import { join } from "node:path";
import { homedir } from "node:os";
import { access } from "node:fs/promises";

/** A redis-server that can be run. */
export interface RedisBinary {
  /** Path of `redis-server`. */
  readonly server: string;
  /** Such as "8.10.2". */
  readonly version: string;
}

/** Finds, fetches or builds a redis-server. */
export async function provideRedis(options: {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly report: (line: string) => void;
  readonly clock: Clock;
}): Promise<RedisBinary> {
  const cache = options.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache");
  const server = join(cache, "muin", "redis-8.10.2", "bin", "redis-server");
  await access(server);
  return { server, version: "8.10.2" };
}
