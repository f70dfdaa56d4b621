import { systemClock } from "../../internal/platform/clock/clock.ts";
import { systemRandom } from "../../internal/platform/clock/random.ts";
import { openRedis, openRedisReader } from "../../internal/platform/redis/open-redis.ts";
import type { BlockingConnection, RedisReader } from "../../internal/platform/redis/redis-store.ts";
import { eventually } from "../../internal/platform/testing/eventually.ts";
import { silentLog } from "../../internal/platform/testing/local-stores.ts";
import { createHedgedEngine } from "../../internal/face/access/snapshot/hedge.ts";
import type { SnapshotMeters } from "../../internal/face/access/snapshot/meters.ts";
import type { Records } from "../../internal/face/access/snapshot/records.ts";
import { createRows, type Rows } from "../../internal/face/access/snapshot/rows.ts";
import { createScanMemory } from "../../internal/face/access/snapshot/scan-memory.ts";
import { createScanPages } from "../../internal/face/access/snapshot/scan-pages.ts";
import { searchRows } from "../../internal/face/access/snapshot/search.ts";
import { createSnapshots } from "../../internal/face/access/snapshot/snapshots.ts";
import { createStoreHealth } from "../../internal/face/access/snapshot/store-health.ts";
import { createChangeReader } from "../../internal/face/shared/change-reader.ts";
import type { FaceEngine } from "../../internal/face/shared/face-engine.ts";
import { floatsOf } from "../../internal/face/shared/embedding.ts";
import { galleryKeys, readElementName } from "../../internal/face/shared/key-schema.ts";
import { createStoreEngine } from "../../internal/face/shared/store-engine.ts";
import { dimensions } from "./people.ts";
import { galleryOf } from "./galleries.ts";
import { createJavaScriptEngine } from "./javascript-engine.ts";
import { createApproximateEngine } from "./peer-sets.ts";

/** Which engine a process has. */
export type EngineKind = "store" | "snapshot" | "hedged" | "scan" | "approximate" | "javascript";

/** How it is opened. */
export interface EngineOptions {
  readonly engine: EngineKind;
  /** The face Redis, or that of the peer. */
  readonly redisUrl: string;
  /** Sizes of the galleries. */
  readonly sizes: readonly number[];
  /** For what the process keeps of itself. */
  readonly folder: string;
  /** Connections of the store's engine. Default: its own. */
  readonly connections?: number;
  /** Whether Redis compares on its own thread, not on one beside it. */
  readonly noThread?: boolean;
}

/** An engine that knows all galleries. */
export interface OpenEngine {
  readonly engine: FaceEngine;
  /** What decides from this process' memory, where it has one. */
  readonly snapshot: FaceEngine | undefined;
  readonly close: () => Promise<void>;
}

/** Memory for snapshots. */
const snapshotBytesMax = 256 * 1024 * 1024;
const snapshotAgeMsMax = 900_000;
const scansWaitingMax = 64;
/** When the snapshot is asked beside the store. */
const hedgeAfterMs = 5;
/** Time for a process to have copies of all galleries. */
const loadMsMax = 30_000;
/** The stream of people and branches, of whom there are none. */
const recordsKey = "{face}:d:changes";

/** Opens an engine; resolves when it knows all galleries. */
export async function openEngine(options: EngineOptions): Promise<OpenEngine> {
  const { redisUrl: url, sizes } = options;
  await using opened = new AsyncDisposableStack();
  const reader = openRedisReader({ url, name: "bench-door" });
  const store = openRedis({ url, name: "bench-door" });
  for (const connection of [reader, store]) {
    await connection.start();
    opened.defer(() => connection.stop());
  }
  const opens = async (): Promise<Omit<OpenEngine, "close">> => {
    switch (options.engine) {
      case "approximate":
        return { engine: createApproximateEngine(store), snapshot: undefined };
      case "javascript":
        return { engine: await createJavaScriptEngine(reader, sizes), snapshot: undefined };
      case "scan":
        return { engine: await createScanEngine(reader, sizes), snapshot: undefined };
      case "store":
        return { engine: await startStoreEngine(options, reader, opened), snapshot: undefined };
      case "snapshot": {
        const { engine } = await startSnapshots(options, { reader, store }, opened);
        return { engine, snapshot: engine };
      }
      case "hedged": {
        const { engine: snapshot, meters } = await startSnapshots(options, { reader, store }, opened);
        const engine = createHedgedEngine({
          store: await startStoreEngine(options, reader, opened),
          snapshot,
          health: createStoreHealth(systemClock),
          clock: systemClock,
          afterMs: hedgeAfterMs,
          meters: meters.hedge,
        });
        return { engine, snapshot };
      }
      default:
        return options.engine satisfies never;
    }
  };
  const open = await opens();
  const kept = opened.move();
  return { ...open, close: () => kept.disposeAsync() };
}

async function startStoreEngine(
  { connections, noThread }: EngineOptions,
  reader: RedisReader,
  opened: AsyncDisposableStack,
): Promise<FaceEngine> {
  const engine = createStoreEngine({
    store: noThread === true ? withoutThreads(reader) : reader,
    forDoors: true,
    ...(connections === undefined ? {} : { connections }),
  });
  await engine.start();
  opened.defer(() => engine.stop());
  return engine;
}

/** The same Redis, which is told with each search to compare on its own thread. */
function withoutThreads(reader: RedisReader): RedisReader {
  return { client: reader.client, dedicated: () => withoutThread(reader.dedicated()) };
}

function withoutThread(connection: BlockingConnection): BlockingConnection {
  const begin = connection.pipeline.bind(connection);
  const pipeline = (): ReturnType<typeof begin> => {
    const made = begin();
    const call = made.call.bind(made);
    const told = (name: string, ...args: (string | Buffer | number)[]) =>
      call(name, ...args, ...(name === "VSIM" ? ["NOTHREAD"] : []));
    return Object.assign(made, { call: told });
  };
  return Object.assign(connection, { pipeline });
}

async function startSnapshots(
  { folder, sizes }: EngineOptions,
  { reader, store }: { readonly reader: RedisReader; readonly store: ReturnType<typeof openRedis> },
  opened: AsyncDisposableStack,
): Promise<{ readonly engine: FaceEngine; readonly meters: SnapshotMeters }> {
  const meters: SnapshotMeters = {
    hedge: { fired: () => undefined, won: () => undefined },
    refused: () => undefined,
    show: () => undefined,
  };
  const snapshots = createSnapshots({
    faces: reader,
    door: store,
    records: noRecords(reader),
    recordsKey,
    folder,
    host: "bench",
    snapshotBytesMax,
    snapshotAgeMsMax,
    scansWaitingMax,
    clock: systemClock,
    random: systemRandom,
    log: silentLog,
    meters,
  });
  await snapshots.start();
  opened.defer(() => snapshots.stop());
  for (const size of sizes) {
    const query = { gallery: galleryOf(size), template: new Float32Array(dimensions).fill(1), memberId: "nobody" };
    await eventually(
      async () => {
        const { kind } = await snapshots.engine.search(query, new AbortController().signal);
        if (kind !== "searched") throw new Error(`the gallery of ${size} faces is not loaded: ${kind}`);
      },
      { timeoutMs: loadMsMax },
    );
  }
  return { engine: snapshots.engine, meters };
}

function noRecords(reader: RedisReader): Records {
  return {
    members: (ids) => Promise.resolve(ids.map(() => undefined)),
    branch: () => Promise.resolve(undefined),
    follow: () =>
      createChangeReader({
        connection: reader.dedicated(),
        key: recordsKey,
        unpack: () => {
          throw new Error("nobody writes records here");
        },
      }),
  };
}

/** The snapshot's scan, and what ranks its finds, on the calling thread, without what keeps a copy up to date. */
async function createScanEngine(reader: RedisReader, sizes: readonly number[]): Promise<FaceEngine> {
  const memory = createScanMemory(snapshotBytesMax);
  const galleries = new Map<string, Rows>();
  for (const size of sizes) {
    const gallery = galleryOf(size);
    const rows = createRows(memory, dimensions);
    for (const [name, bytes] of Object.entries(await reader.client.hgetallBuffer(galleryKeys(gallery).copy)))
      if (!rows.add(readElementName(name), floatsOf(bytes))) throw new Error("no room for a gallery");
    galleries.set(gallery.branchId, rows);
  }
  const scanPages = createScanPages(memory.memory, "here");
  const scanner = { scan: (scan: Parameters<typeof scanPages>[0]) => Promise.resolve(scanPages(scan)) };
  const denied: ReadonlySet<string> = new Set();
  return {
    search: async ({ gallery, template }, signal) => {
      const rows = galleries.get(gallery.branchId);
      if (rows === undefined) return { kind: "no_snapshot" };
      const result = await searchRows({ rows, denied }, template, undefined, scanner, signal);
      return { kind: "searched", result, source: "snapshot", ageMs: 0 };
    },
  };
}
