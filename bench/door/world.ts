import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { openRedis } from "../../internal/platform/redis/open-redis.ts";
import { startRedis, type TestRedis } from "../../internal/platform/testing/redis.ts";
import { type Child, startChild } from "../harness/child.ts";
import type { EngineLoadOptions } from "./engine-load.ts";
import type { EngineOptions } from "./engines.ts";
import { startFaiss } from "./faiss.ts";
import { fillGalleries } from "./galleries.ts";
import { type MuinDoor, startMuinDoor } from "./muin-door.ts";
import { makePeople, writePeople } from "./people.ts";
import { fillPeerSets } from "./peer-sets.ts";
import type { SubjectName } from "./rows.ts";
import type { RpcLoadOptions } from "./rpc-load.ts";
import type { Answers, Load, Subject } from "./subject.ts";
import type { WriteTimes } from "./times.ts";
import type { WriteLoad } from "./writes-load.ts";

/** All that rows load. */
export interface World extends AsyncDisposable {
  readonly subjects: ReadonlyMap<SubjectName, Subject>;
  /** Writes to the same galleries. */
  readonly writes: Child<WriteLoad, WriteTimes>;
  /** The face Redis. */
  readonly redis: TestRedis;
  /** The running Muin; `undefined` unless asked for. */
  readonly door: MuinDoor | undefined;
}

/** What is started. */
export interface WorldOptions {
  readonly folder: string;
  /** Sizes of the galleries. */
  readonly sizes: readonly number[];
  /** Probes in turn. */
  readonly probes: number;
  readonly subjects: ReadonlySet<SubjectName>;
  /** Where Python finds faiss. */
  readonly faissPackages: string | undefined;
  readonly report: (line: string) => void;
}

type EngineName = Exclude<SubjectName, "faiss" | "rpc">;

const engines: Readonly<Record<EngineName, Pick<EngineOptions, "engine" | "connections" | "noThread">>> = {
  store: { engine: "store" },
  "store 1": { engine: "store", connections: 1 },
  "store 2": { engine: "store", connections: 2 },
  "store own thread": { engine: "store", noThread: true },
  snapshot: { engine: "snapshot" },
  hedged: { engine: "hedged" },
  scan: { engine: "scan" },
  approximate: { engine: "approximate" },
  javascript: { engine: "javascript" },
};

/** Starts the stores and fills them, and a process for each subject; what was started before something failed is stopped. */
export async function openWorld(options: WorldOptions): Promise<World> {
  const { folder, sizes, subjects: wanted, report } = options;
  await using started = new AsyncDisposableStack();
  report(`making ${Math.max(...sizes)} faces`);
  const people = makePeople(sizes, options.probes);
  await writePeople(folder, people);

  report("filling galleries");
  const redis = await startRedis();
  started.defer(() => redis.stop());
  await filled(redis, (store) => fillGalleries(store, sizes, people.gallery));
  let peerRedis: TestRedis | undefined;
  if (wanted.has("approximate")) {
    report("filling the vector sets of the approximate search");
    const peer = await startRedis({ appendfsync: "no" });
    started.defer(() => peer.stop());
    await filled(peer, (store) => fillPeerSets(store, sizes, people.gallery));
    peerRedis = peer;
  }

  report("starting what looks in them");
  const subjects = new Map<SubjectName, Subject>();
  const folderOf = async (name: string): Promise<string> => {
    const own = join(folder, name.replaceAll(" ", "-"));
    await mkdir(own, { recursive: true });
    return own;
  };
  const start = async (name: SubjectName): Promise<void> => {
    if (name === "rpc") return;
    if (name === "faiss") {
      if (options.faissPackages === undefined) return;
      subjects.set(name, await startFaiss(options.faissPackages, folder, sizes));
    } else {
      const server = name === "approximate" ? peerRedis : redis;
      if (server === undefined) throw new Error(`${name} has no Redis`);
      const own = { ...engines[name], redisUrl: server.url, sizes, folder: await folderOf(name), peopleFolder: folder };
      subjects.set(name, await startEngine(own, usesRedis(name) ? server : undefined));
    }
    const subject = subjects.get(name);
    started.defer(async () => subject?.close());
  };
  await Promise.all([...wanted].map(start));
  const ofWrites: EngineOptions = { engine: "hedged", redisUrl: redis.url, sizes, folder: await folderOf("writes") };
  const writes = await startChild<WriteLoad, WriteTimes>(script("writes-load"), ofWrites);
  started.defer(() => writes.close());
  let door: MuinDoor | undefined;
  if (wanted.has("rpc")) {
    report("starting Muin and filling its galleries");
    door = await startMuinDoor(sizes, people.gallery);
    started.use(door);
    const rpc = await startRpc(door, folder);
    subjects.set("rpc", rpc);
    started.defer(() => rpc.close());
  }
  const kept = started.move();
  return { subjects, writes, redis, door, [Symbol.asyncDispose]: () => kept.disposeAsync() };
}

async function filled({ url }: TestRedis, fill: (store: ReturnType<typeof openRedis>) => Promise<void>): Promise<void> {
  const store = openRedis({ url, name: "bench-filler" });
  await store.start();
  try {
    await fill(store);
  } finally {
    await store.stop();
  }
}

async function startEngine(options: EngineLoadOptions, server: TestRedis | undefined): Promise<Subject> {
  const child = await startChild<Load, Answers>(script("engine-load"), options);
  const ofServer = server === undefined ? {} : { redis: [server.pid] };
  return {
    processes: () => Promise.resolve({ engine: [child.pid], ...ofServer }),
    run: (load) => child.ask(load),
    close: () => child.close(),
  };
}

async function startRpc({ muin, devices, branches }: MuinDoor, peopleFolder: string): Promise<Subject> {
  const options: RpcLoadOptions = { url: muin.http, devices, branches, peopleFolder };
  const child = await startChild<Load, Answers>(script("rpc-load"), options);
  return {
    processes: async () => {
      const found = await muin.folder.processes();
      const pidsOf = (prefix: string): number[] =>
        found.filter(({ name }) => name.startsWith(prefix)).map(({ pid }) => pid);
      return {
        muin: [muin.pid],
        redis: pidsOf("redis/faces"),
        "redis events": pidsOf("redis/events"),
        postgres: pidsOf("postgres"),
        sender: [child.pid],
      };
    },
    run: (load) => child.ask(load),
    close: () => child.close(),
  };
}

function usesRedis(name: EngineName): boolean {
  return name !== "scan" && name !== "javascript";
}

function script(name: string): string {
  return join(import.meta.dir, `${name}.ts`);
}
