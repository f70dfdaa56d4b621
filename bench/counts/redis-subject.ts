import { join } from "node:path";
import { openRedis } from "../../internal/platform/redis/open-redis.ts";
import { eventually } from "../../internal/platform/testing/eventually.ts";
import { startRedis } from "../../internal/platform/testing/redis.ts";
import { type Child, startChild } from "../harness/child.ts";
import type { GenericServerOptions } from "./generic-server.ts";
import { type GoPeer, startGoPeer } from "./go-peer.ts";
import { genericKey, plainKeyOf } from "./peer-keys.ts";
import type { RelayOptions } from "./relay.ts";
import { countIdAt } from "./requests.ts";
import type { Subject } from "./subject.ts";
import { createBenchCounts } from "./write-path.ts";

/** Time for the consumer to have received all changes once the load is over. */
const receiveMsMax = 30_000;

/** A counts Redis and an events Redis without Muin around them, and all that is loaded on them. */
export interface RedisSubjects {
  readonly countsUrl: string;
  readonly eventsUrl: string;
  /** Muin's write path, with relay and consumer in a process of their own unless `relayInside`. */
  readonly writer: Subject;
  /** Plain INCR. */
  readonly plain: Subject;
  /** The generic Connect handler; `undefined` unless asked for. */
  readonly generic: (Subject & { readonly url: string }) | undefined;
  /** The peer in Go, which keeps the values of plain INCR; `undefined` unless asked for. */
  readonly goPeer: (Subject & Pick<GoPeer, "http" | "grpc">) | undefined;
  /** Data folder of the counts Redis. */
  readonly folder: string;
  close(): Promise<void>;
}

/** Starts both servers, fsync at every write, with `counts` Counts of value 0; `goPeer` is the program of that peer. */
export async function startRedisSubjects(
  counts: number,
  options: { readonly relayInside: boolean; readonly generic: boolean; readonly goPeer?: string | undefined },
): Promise<RedisSubjects> {
  const [countsRedis, eventsRedis] = await Promise.all([startRedis(), startRedis()]);
  const store = openRedis({ url: countsRedis.url, name: "bench-reader" });
  await store.start();
  const ids = Array.from({ length: counts }, (_, place) => countIdAt(place));
  const { stored: storedByWriter, outboxDepth } = await createBenchCounts(store, ids);

  const urls = { countsUrl: countsRedis.url, eventsUrl: eventsRedis.url };
  const relay: Child<object, number> | undefined = options.relayInside
    ? undefined
    : await startChild(script("relay"), urls satisfies RelayOptions);
  const generic: Child<never, never> | undefined = options.generic
    ? await startChild(script("generic-server"), { redisUrl: countsRedis.url } satisfies GenericServerOptions)
    : undefined;
  const goPeer = options.goPeer === undefined ? undefined : await startGoPeer(options.goPeer, countsRedis.url);

  const none = { outboxDepth: undefined, finished: undefined, verify: async () => undefined, close: async () => {} };
  const redisCounts = { "redis counts": [countsRedis.pid] };
  const storedPlain = async (): Promise<number> => sumOf(await store.client.mget(ids.map(plainKeyOf)));
  return {
    ...urls,
    folder: countsRedis.dir,
    writer: {
      ...none,
      processes: async () => ({
        ...redisCounts,
        "redis events": [eventsRedis.pid],
        ...(relay === undefined ? {} : { "relay + consumer": [relay.pid] }),
      }),
      stored: storedByWriter,
      outboxDepth,
      // Each creation is a change too.
      verify: async () => (relay === undefined ? undefined : notReceived(relay, (await storedByWriter()) + counts)),
    },
    plain: { ...none, processes: async () => redisCounts, stored: storedPlain },
    generic:
      generic === undefined
        ? undefined
        : {
            ...none,
            url: generic.greeting,
            processes: async () => ({ "generic server": [generic.pid], ...redisCounts }),
            stored: async () => sumOf(await store.client.hvals(genericKey)),
          },
    goPeer:
      goPeer === undefined
        ? undefined
        : {
            ...none,
            http: goPeer.http,
            grpc: goPeer.grpc,
            processes: async () => ({ "Go server": [goPeer.pid], ...redisCounts }),
            stored: storedPlain,
          },
    close: async () => {
      await goPeer?.close();
      await generic?.close();
      await relay?.close();
      await store.stop();
      await Promise.all([countsRedis.stop(), eventsRedis.stop()]);
    },
  };
}

/** What is wrong when the consumer does not receive so many changes; `undefined` once it has. */
async function notReceived(relay: Child<object, number>, changes: number): Promise<string | undefined> {
  let received = 0;
  try {
    await eventually(
      async () => {
        received = await relay.ask({});
        if (received !== changes) throw new Error("not yet");
      },
      { timeoutMs: receiveMsMax },
    );
    return undefined;
  } catch {
    return `the consumer received ${received} changes of ${changes}`;
  }
}

function script(name: string): string {
  return join(import.meta.dir, `${name}.ts`);
}

function sumOf(values: readonly (string | null)[]): number {
  return values.reduce((sum, value) => sum + Number(value ?? 0), 0);
}
