import { join } from "node:path";
import { startChild } from "../harness/child.ts";
import type { LoadResult, RunLoad } from "../harness/load.ts";
import { type CeilingOptions, runH2load, runWrk } from "./ceilings.ts";
import type { Sender } from "./measure.ts";
import type { RedisLoadOptions } from "./redis-load.ts";
import type { RedisSubjects } from "./redis-subject.ts";
import { batchCreations, batchItems, type Lane } from "./requests.ts";
import type { RpcLoadOptions } from "./rpc-load.ts";
import type { Subject } from "./subject.ts";
import type { World } from "./world.ts";

/** Writes per second of open-loop load by single calls. */
const openCallsPerS = 5000;
/** BatchWrites per second of open-loop load. */
const openBatchesPerS = 500;

/** A row of the table. */
export interface Row {
  readonly id: string;
  /** Rows of a series take turns, so that what they are compared with had the same minute of the machine. */
  readonly series: string;
  readonly title: string;
  readonly sender: string;
  readonly callers: number;
  /** Whether the load goes to one Count instead of to all. */
  readonly oneCount: boolean;
  readonly addedFsyncMs: 0 | 2;
  /** Part of a quick run. */
  readonly quick: boolean;
  /** Program that the row needs. */
  readonly tool?: "wrk" | "h2load";
  /** Whether it loads the peer in Go. */
  readonly needsGo?: boolean;
  subject(world: World): Subject;
  open(world: World): Promise<Sender>;
}

type Place = Pick<Row, "series" | "callers" | "oneCount" | "addedFsyncMs" | "quick">;

const local = (script: string): string => join(import.meta.dir, script);

function nameOf(kind: string, { callers, oneCount, addedFsyncMs }: Place): string {
  return [kind, callers, ...(oneCount ? ["one-count"] : []), ...(addedFsyncMs > 0 ? ["slow-disk"] : [])].join("/");
}

async function childSender(script: string, options: object): Promise<Sender> {
  const child = await startChild<RunLoad, LoadResult>(local(script), options);
  return { pid: child.pid, run: (windowMs) => child.ask({ windowMs }), close: () => child.close() };
}

const redisTitles = {
  "connection-per-caller": "plain INCR, connection per caller",
  "one-connection": "plain INCR, one connection",
  writer: "Muin's write path in process",
  "writer-and-relay": "the same with relay and consumer in it",
} as const;

function redisRow(way: RedisLoadOptions["way"], place: Place): Row {
  const redis = (world: World): RedisSubjects => (way === "writer-and-relay" ? world.inside : world.outside);
  return {
    ...place,
    id: nameOf(way, place),
    title: redisTitles[way],
    sender: "own",
    subject: (world) => (way.startsWith("writer") ? redis(world).writer : redis(world).plain),
    open: (world) => {
      const { countsUrl, eventsUrl } = redis(world);
      const counts = place.oneCount ? 1 : world.counts;
      return childSender("redis-load.ts", {
        way,
        countsUrl,
        eventsUrl,
        callers: place.callers,
        counts,
      } satisfies RedisLoadOptions);
    },
  };
}

const laneTitles = {
  "connect-binary": "Connect binary",
  "connect-json": "Connect JSON",
  rest: "REST",
  "batch-write": `BatchWrite(${batchItems})`,
  grpc: "gRPC",
  "create-count": "CreateCount",
  "batch-create-counts": `BatchCreateCounts(${batchCreations})`,
} as const;

function rpcRow(lane: Lane, load: "saturation" | "open", place: Place): Row {
  const calls = lane === "batch-write" ? openBatchesPerS : openCallsPerS;
  return {
    ...place,
    id: nameOf(load === "open" ? `${lane}/open` : lane, place),
    title: load === "open" ? `${laneTitles[lane]}, open loop ${calls}/s` : laneTitles[lane],
    sender: load === "saturation" && lane !== "grpc" ? "autocannon" : "own",
    subject: ({ muin }) => muin,
    open: ({ muin: { muin }, counts }) =>
      childSender("rpc-load.ts", {
        lane,
        url: lane === "grpc" ? muin.grpc : muin.http,
        apiKey: muin.apiKey,
        callers: place.callers,
        counts: place.oneCount ? 1 : counts,
        ...(load === "open" ? { ratePerS: calls } : {}),
      } satisfies RpcLoadOptions),
  };
}

function genericRow(load: "saturation" | "open", place: Place): Row {
  return {
    ...rpcRow("connect-binary", load, place),
    id: nameOf(load === "open" ? "generic/open" : "generic", place),
    title: `generic Connect handler${load === "open" ? `, open loop ${openCallsPerS}/s` : ""}`,
    subject: genericOf,
    open: (world) =>
      childSender("rpc-load.ts", {
        lane: "connect-binary",
        url: genericOf(world).url,
        apiKey: world.muin.muin.apiKey,
        callers: place.callers,
        counts: place.oneCount ? 1 : world.counts,
        ...(load === "open" ? { ratePerS: openCallsPerS } : {}),
      } satisfies RpcLoadOptions),
  };
}

function genericOf({ outside }: World): Subject & { readonly url: string } {
  if (outside.generic === undefined) throw new Error("the generic server was not started");
  return outside.generic;
}

function goPeerOf({ outside }: World): Subject & { readonly http: string; readonly grpc: string } {
  if (outside.goPeer === undefined) throw new Error("the peer in Go was not started");
  return outside.goPeer;
}

/** Creations over Connect binary. */
function creationRow(lane: "create-count" | "batch-create-counts", place: Place): Row {
  return { ...rpcRow(lane, "saturation", place), sender: "own", subject: ({ muin }) => muin.creations };
}

/** What a program in C loads: how a row names it, where it is, and by which protocol. */
const ceilings = {
  "connect-binary": {
    title: "Connect binary",
    tool: "wrk",
    subject: ({ muin }: World) => muin,
    url: ({ muin: { muin } }: World) => muin.http,
  },
  generic: {
    title: "generic Connect handler",
    tool: "wrk",
    subject: genericOf,
    url: (world: World) => genericOf(world).url,
  },
  "go-connect": {
    title: "Go peer, Connect binary",
    tool: "wrk",
    subject: goPeerOf,
    url: (world: World) => goPeerOf(world).http,
  },
  grpc: {
    title: "gRPC, no request id",
    tool: "h2load",
    subject: ({ muin }: World) => muin,
    url: ({ muin: { muin } }: World) => muin.grpc,
  },
  "go-grpc": {
    title: "Go peer, gRPC",
    tool: "h2load",
    subject: goPeerOf,
    url: (world: World) => goPeerOf(world).grpc,
  },
} as const;

function ceilingRow(kind: keyof typeof ceilings, place: Place, load: "saturation" | "open" = "saturation"): Row {
  const { title, tool, subject, url } = ceilings[kind];
  const run = tool === "wrk" ? runWrk : runH2load;
  // h2load sends one body: one Count.
  const oneCount = place.oneCount || tool === "h2load";
  return {
    ...place,
    oneCount,
    id: nameOf(load === "open" ? `${kind}/${tool}/open` : `${kind}/${tool}`, place),
    title: load === "open" ? `${title}, open loop ${openCallsPerS}/s` : title,
    sender: tool,
    tool,
    needsGo: kind.startsWith("go-"),
    subject,
    open: async (world) => {
      const { muin } = world.muin;
      const options: CeilingOptions = {
        url: url(world),
        apiKey: muin.apiKey,
        ...(load === "open" ? { ratePerS: openCallsPerS } : {}),
        callers: place.callers,
        counts: oneCount ? 1 : world.counts,
        folder: world.folder,
      };
      return { pid: undefined, run: (windowMs) => run(options, windowMs), close: async () => {} };
    },
  };
}

function listRows(): readonly Row[] {
  const rows: Row[] = [];
  for (const callers of [64, 256]) {
    const place = (series: string): Place => ({
      series: `${series}, ${callers} callers`,
      callers,
      oneCount: false,
      addedFsyncMs: 0,
      quick: callers === 64,
    });
    const writing = place("write path");
    rows.push(
      redisRow("writer", writing),
      redisRow("connection-per-caller", writing),
      redisRow("one-connection", writing),
      redisRow("writer-and-relay", writing),
      rpcRow("batch-write", "saturation", writing),
    );
    const saturating = place("saturation");
    rows.push(
      ceilingRow("connect-binary", saturating),
      ceilingRow("generic", saturating),
      ceilingRow("go-connect", saturating),
      rpcRow("connect-binary", "saturation", saturating),
      genericRow("saturation", saturating),
      rpcRow("connect-json", "saturation", saturating),
      rpcRow("rest", "saturation", saturating),
      rpcRow("grpc", "saturation", saturating),
      ceilingRow("grpc", saturating),
      ceilingRow("go-grpc", saturating),
    );
    const open = place("open loop");
    rows.push(
      rpcRow("connect-binary", "open", open),
      rpcRow("connect-json", "open", open),
      rpcRow("rest", "open", open),
      ceilingRow("grpc", open, "open"),
      ceilingRow("go-grpc", open, "open"),
      rpcRow("batch-write", "open", open),
      genericRow("open", open),
    );
    const single: Place = { ...place("one Count"), oneCount: true, quick: false };
    rows.push(
      redisRow("writer", single),
      redisRow("connection-per-caller", single),
      ceilingRow("connect-binary", single),
    );
    const slow: Place = { ...place("2 ms added to fsync"), addedFsyncMs: 2 };
    rows.push(
      redisRow("writer", slow),
      redisRow("connection-per-caller", slow),
      redisRow("one-connection", { ...slow, quick: false }),
      rpcRow("batch-write", "saturation", { ...slow, quick: false }),
      ceilingRow("connect-binary", { ...slow, quick: false }),
      ceilingRow("generic", { ...slow, quick: false }),
      rpcRow("connect-binary", "open", { ...slow, quick: false }),
    );
  }
  const creating: Place = { series: "creation", callers: 64, oneCount: false, addedFsyncMs: 0, quick: true };
  rows.push(
    creationRow("create-count", creating),
    creationRow("create-count", { ...creating, callers: 1 }),
    creationRow("batch-create-counts", { ...creating, callers: 1 }),
  );
  return rows;
}

/** Every row of the suite, those of a series one after the other. */
export const rows: readonly Row[] = listRows();
