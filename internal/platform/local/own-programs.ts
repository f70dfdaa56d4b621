import { dirname } from "node:path";
import { providePostgres } from "./postgres-binaries.ts";
import { provideRedis, type ProvideRedisOptions } from "./redis-binary.ts";
import { reachableProgram } from "./shared-folder.ts";
import type { SystemUser } from "./system-user.ts";

/**
 * Finds or fetches PostgreSQL and Redis while this process is still root, and copies what `account` could not reach to
 * `/var/cache/muin`. Returns where they are, as the settings of the environment that name them.
 */
export async function provideProgramsFor(
  account: SystemUser,
  options: ProvideRedisOptions,
): Promise<{ readonly POSTGRES_BIN: string; readonly REDIS_SERVER: string }> {
  const postgres = await providePostgres({ env: options.env, account });
  const redis = await provideRedis(options);
  return {
    POSTGRES_BIN: dirname(postgres.postgres),
    // Named by where it lies too: another of the same version may be a program of its own.
    REDIS_SERVER: await reachableProgram(redis.server, `redis-${redis.version}-${hashOf(redis.server)}`, account),
  };
}

function hashOf(path: string): string {
  return Bun.SHA256.hash(path, "hex").slice(0, 8);
}
