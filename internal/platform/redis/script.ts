import { replyCode } from "./driver-errors.ts";
import type { RedisClient } from "./redis-store.ts";

/** A Lua script, known to servers by its hash. */
export interface Script<Reply> {
  readonly name: string;
  /**
   * Runs it. Bulk replies are Buffers, integers numbers. A script error rolls nothing back: a script must check and compute
   * before its first write. Rejects as `mapRedisError` says; after that the script may have run.
   */
  run(
    client: RedisClient,
    keys: readonly (string | Buffer)[],
    args: readonly (string | number | Uint8Array)[],
  ): Promise<Reply>;
}

/**
 * Defines a script that takes `keys` keys ("any": as many as are given). A server that does not know it, since it is new or was
 * restarted, is sent the text: NOSCRIPT says for certain that nothing ran. With `runsWhenFull` a server whose memory is used up runs it all
 * the same: only for what takes next to no memory and without which none could ever become free.
 */
export function defineScript<Reply>(options: {
  readonly name: string;
  readonly lua: string;
  readonly keys: number | "any";
  /** Default false. */
  readonly runsWhenFull?: boolean;
}): Script<Reply> {
  const { name, keys: keyCount } = options;
  const lua = options.runsWhenFull === true ? `#!lua flags=allow-oom\n${options.lua}` : options.lua;
  const sha = new Bun.CryptoHasher("sha1").update(lua).digest("hex");
  return {
    name,
    run: async (client, keys, args) => {
      if (keyCount !== "any" && keys.length !== keyCount) {
        throw new Error(`script ${name} takes ${keyCount} keys, got ${keys.length}`);
      }
      const values = args.map((arg) =>
        typeof arg === "object" && !Buffer.isBuffer(arg)
          ? Buffer.from(arg.buffer, arg.byteOffset, arg.byteLength)
          : arg,
      );
      try {
        return (await client.callBuffer("evalsha", sha, keys.length, ...keys, ...values)) as Reply;
      } catch (error) {
        if (replyCode(error) !== "NOSCRIPT") throw error;
        return (await client.callBuffer("eval", lua, keys.length, ...keys, ...values)) as Reply;
      }
    },
  };
}
