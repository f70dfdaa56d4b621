import type { Redis } from "ioredis";

/** A connection to a Redis server. */
export type RedisClient = Redis;

/**
 * A Redis server that may be written. Commands fail at once while the connection is down and are never sent twice by
 * the connection itself: whoever writes decides what is safe to repeat.
 */
export interface RedisStore {
  /** Shared, auto-pipelined connection. Never use blocking commands on it. */
  readonly client: RedisClient;
  /** A connection of its own, for blocking commands. The caller ends it with `disconnect()`. */
  dedicated(): RedisClient;
}

/** Commands that read. */
type ReadCommand =
  | "get"
  | "getBuffer"
  | "mget"
  | "mgetBuffer"
  | "hget"
  | "hgetBuffer"
  | "hmget"
  | "hmgetBuffer"
  | "hgetall"
  | "hgetallBuffer"
  | "exists"
  | "hlen"
  | "zscore"
  | "zcard"
  | "xlen"
  | "xrange"
  | "pipeline"
  | "call"
  | "callBuffer"
  | "time"
  | "info"
  | "status";

/** A connection of one's own, for reads that block. */
export type BlockingConnection = Pick<Redis, ReadCommand | "once" | "disconnect" | "stream">;

/** A Redis server, or a replica of one, that may only be read. The ACL user behind it can do no more either. */
export interface RedisReader {
  /** Shared, auto-pipelined connection. Never use blocking commands on it. */
  readonly client: Pick<Redis, ReadCommand>;
  /** A connection of its own, for blocking reads, none of which is sent twice. The caller ends it with `cutOff`. */
  dedicated(): BlockingConnection;
}
