import { Redis } from "ioredis";
import { openRedis } from "../../internal/platform/redis/open-redis.ts";
import { type Served, serveChild } from "../harness/child.ts";
import { closedLoop, type LoadResult, type RunLoad, type Send } from "../harness/load.ts";
import { plainKeyOf } from "./peer-keys.ts";
import { countIdAt, createRequestIds } from "./requests.ts";
import { openRelay } from "./relay.ts";
import { createBenchWriter } from "./write-path.ts";

/** A write waits for its outcome at most so long. */
const writeMsMax = 10_000;
/** As long as that of an API key. */
const benchPrincipal = "api_key:0190aaaa-1111-7000-8000-000000000000";

/** What this process is told on its command line. */
export interface RedisLoadOptions {
  /**
   * - `connection-per-caller`: plain INCR, each caller on a connection of its own, waiting for its reply.
   * - `one-connection`: plain INCR, all callers on one connection.
   * - `writer`: Muin's write path in this process, each write with a request id and its event.
   * - `writer-and-relay`: the same with relay and consumer in this process too.
   */
  readonly way: "connection-per-caller" | "one-connection" | "writer" | "writer-and-relay";
  readonly countsUrl: string;
  readonly eventsUrl: string;
  readonly callers: number;
  readonly counts: number;
}

async function openRedisLoad(options: RedisLoadOptions): Promise<Served<RunLoad, LoadResult>> {
  const { way, callers } = options;
  const { send, close } =
    way === "writer" || way === "writer-and-relay"
      ? await openWriter(options)
      : await openPlain(options, way === "one-connection" ? 1 : callers);
  return { greeting: "", answer: ({ windowMs }) => closedLoop(callers, windowMs, send), close };
}

interface Open {
  readonly send: Send;
  readonly close: () => Promise<void>;
}

async function openPlain({ countsUrl, counts }: RedisLoadOptions, connections: number): Promise<Open> {
  const clients = await Promise.all(
    Array.from({ length: connections }, async () => {
      const client = new Redis(countsUrl, { lazyConnect: true, enableAutoPipelining: connections === 1 });
      await client.connect();
      return client;
    }),
  );
  const keys = Array.from({ length: counts }, (_, place) => plainKeyOf(countIdAt(place)));
  const key = drawFrom(keys);
  return {
    send: async (caller) => {
      await (clients[caller % connections] as Redis).incr(key());
      return 1;
    },
    close: async () => {
      for (const client of clients) client.disconnect();
    },
  };
}

async function openWriter({ way, countsUrl, eventsUrl, counts }: RedisLoadOptions): Promise<Open> {
  const store = openRedis({ url: countsUrl, name: "bench" });
  await store.start();
  const writer = createBenchWriter(store);
  await writer.start();
  const relay = way === "writer-and-relay" ? await openRelay(countsUrl, eventsUrl) : undefined;
  const countId = drawFrom(Array.from({ length: counts }, (_, place) => countIdAt(place)));
  const requestId = createRequestIds();
  return {
    send: async () => {
      const id = countId();
      const write = { countId: id, kind: "a", operand: 1, requestId: requestId(), principal: benchPrincipal } as const;
      const [outcome] = await writer.write(writer.shardOf(id), [write], performance.now() + writeMsMax);
      if (outcome?.outcome !== "applied") throw new Error(outcome?.outcome ?? "no outcome");
      return 1;
    },
    close: async () => {
      await writer.stop();
      await relay?.close();
      await store.stop();
    },
  };
}

function drawFrom(names: readonly string[]): () => string {
  const drawn = Array.from({ length: 8192 }, (_, place) => names[(place * 7919) % names.length] as string);
  let next = 0;
  return () => drawn[(next += 1) % drawn.length] as string;
}

await serveChild(openRedisLoad);
