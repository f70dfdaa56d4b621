import type { RedisReader } from "./redis-store.ts";

/** What a Redis server takes of its memory. */
export interface RedisMemory {
  readonly usedBytes: number;
  /** Beyond it writes are refused, or old values dropped; 0: no bound. */
  readonly maxBytes: number;
  /** Whether it drops values rather than refuse writes. */
  readonly evicts: boolean;
}

/** Asks a server for it. */
export async function readMemory(client: Pick<RedisReader["client"], "info">): Promise<RedisMemory> {
  const text = await client.info("memory");
  const field = (name: string): string => new RegExp(`^${name}:(.*?)\r?$`, "m").exec(text)?.[1] ?? "";
  return {
    usedBytes: Number(field("used_memory")),
    maxBytes: Number(field("maxmemory")),
    evicts: field("maxmemory_policy") !== "noeviction",
  };
}
