import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../../internal/platform/clock/clock.ts";
import { provideRedis } from "../../internal/platform/local/redis-binary.ts";
import { fdatasyncP50Ms } from "../harness/fdatasync.ts";
import { describeMachine, type Machine } from "../harness/machine.ts";
import { createSlowDisk } from "../harness/slow-disk.ts";
import { type Figure, figureOf } from "../harness/statistics.ts";
import { buildGoPeer } from "./go-peer.ts";
import { measure, type Sample, type Sender, storedAfter } from "./measure.ts";
import { rows as allRows, type Row } from "./rows.ts";
import { judge, type TargetResult } from "./targets.ts";
import { openWorld, type World } from "./world.ts";

/** The slow disk's server is a script that calls another program: a user of Muin's own may reach neither. */
const stayRoot = process.getuid?.() === 0 ? { MUIN_USER: "root" } : {};

/** How a run is made. */
export interface CountsOptions {
  /** Rows to measure. */
  readonly wanted: (row: Row) => boolean;
  /** Length of a window, in milliseconds; wrk and h2load take whole seconds, at least one. */
  readonly windowMs: number;
  readonly warmUpMs: number;
  readonly repetitions: number;
  /** Counts that the load is spread over. */
  readonly counts: number;
  /** Told what is going on. */
  readonly report: (line: string) => void;
}

/** A row as it was measured. */
export interface RowResult {
  readonly row: string;
  readonly title: string;
  readonly sender: string;
  readonly callers: number;
  readonly counts: number;
  readonly addedFsyncMs: number;
  readonly writesPerS: Figure;
  readonly p50Ms: Figure | undefined;
  readonly p99Ms: Figure | undefined;
  /** CPU of each process: medians, in percent of one core and in microseconds for one write. */
  readonly cpuPercent: Readonly<Record<string, number>>;
  readonly cpuUsPerWrite: Readonly<Record<string, number>>;
  readonly acknowledged: number;
  readonly drainMs: Figure;
  /** Why the row does not count; empty when it does. */
  readonly faults: readonly string[];
}

/** A run of the suite. */
export interface CountsResult {
  readonly machine: Machine;
  readonly fdatasyncP50Ms: number;
  readonly redis: string;
  readonly rows: readonly RowResult[];
  readonly skipped: readonly { readonly row: string; readonly reason: string }[];
  readonly targets: readonly TargetResult[];
  /** What was lost, repeated or never delivered, over the whole run; empty when all is well. */
  readonly faults: readonly string[];
}

/** Measures the rows. Everything it starts has ended when it resolves. */
export async function runCounts(options: CountsOptions): Promise<CountsResult> {
  const machine = describeMachine();
  const folder = await mkdtemp(join(tmpdir(), "muin-bench-"));
  await using cleanUp = new AsyncDisposableStack();
  cleanUp.defer(() => rm(folder, { recursive: true, force: true }));
  const redis = await provideRedis({ env: process.env, report: options.report, clock: systemClock });
  const slowDisk = await createSlowDisk(folder, redis.server);
  const given = process.env["REDIS_SERVER"];
  cleanUp.defer(() => {
    if (given === undefined) delete process.env["REDIS_SERVER"];
    else process.env["REDIS_SERVER"] = given;
  });
  if (slowDisk !== undefined) process.env["REDIS_SERVER"] = slowDisk.redisServer; // Every Redis from here on.

  const needsGo = allRows.some((row) => row.needsGo === true && options.wanted(row));
  if (needsGo) options.report("building the peer in Go");
  const goPeer = needsGo ? await buildGoPeer(folder) : undefined;
  const skipped: { row: string; reason: string }[] = [];
  const rows = allRows.filter((row) => {
    if (!options.wanted(row)) return false;
    const reason = obstacleOf(row, { slowDisk: slowDisk !== undefined, goPeer: goPeer !== undefined });
    if (reason !== undefined) skipped.push({ row: row.id, reason });
    return reason === undefined;
  });

  options.report("starting Muin, the peers and their stores");
  await using world = await openWorld(folder, {
    counts: options.counts,
    muinEnv: slowDisk === undefined ? {} : { REDIS_SERVER: slowDisk.redisServer, ...stayRoot },
    generic: true,
    goPeer,
  });
  const fdatasync = await fdatasyncP50Ms(world.outside.folder);

  const samples = new Map<string, Sample[]>();
  for (const series of new Set(rows.map((row) => row.series))) {
    const members = rows.filter((row) => row.series === series);
    options.report(series);
    await slowDisk?.setDelayUs((members[0]?.addedFsyncMs ?? 0) * 1000);
    await measureGroup(members, world, options, samples);
  }
  await slowDisk?.setDelayUs(0);
  const faults: string[] = [];
  for (const [name, subject] of Object.entries({ muin: world.muin, "write path": world.outside.writer })) {
    const fault = await subject.verify();
    if (fault !== undefined) faults.push(`${name}: ${fault}`);
  }
  return {
    machine,
    fdatasyncP50Ms: fdatasync,
    redis: redis.version,
    rows: rows.map((row) => summarise(row, samples.get(row.id) ?? [], options.counts)),
    skipped,
    targets: judge(samples, Bun.which("wrk") !== null),
    faults,
  };
}

/** Lets the rows of a series take turns. */
async function measureGroup(
  rows: readonly Row[],
  world: World,
  options: CountsOptions,
  samples: Map<string, Sample[]>,
): Promise<void> {
  const senders = new Map<Row, Sender>();
  try {
    for (const row of rows) {
      const sender = await row.open(world);
      senders.set(row, sender);
      if (options.warmUpMs > 0) await storedAfter(row.subject(world), await sender.run(options.warmUpMs));
    }
    for (let repetition = 1; repetition <= options.repetitions; repetition += 1) {
      for (const [row, sender] of senders) {
        const sample = await measure(row.subject(world), sender, options.windowMs);
        const taken = samples.get(row.id) ?? [];
        taken.push(sample);
        samples.set(row.id, taken);
        const faults = sample.faults.length === 0 ? "" : `  INVALID: ${sample.faults.join("; ")}`;
        options.report(`  ${row.id} ${repetition}: ${(sample.writesPerS / 1000).toFixed(1)} k/s${faults}`);
      }
    }
  } finally {
    for (const sender of senders.values()) await sender.close();
  }
}

function obstacleOf(row: Row, has: { readonly slowDisk: boolean; readonly goPeer: boolean }): string | undefined {
  if (row.tool !== undefined && Bun.which(row.tool) === null) return `${row.tool} is not installed`;
  if (row.needsGo === true && !has.goPeer) return "Go is not installed, or cannot build its peer";
  if (row.addedFsyncMs > 0 && !has.slowDisk) return "no C compiler for the library that delays fsync";
  return undefined;
}

function summarise(row: Row, samples: readonly Sample[], counts: number): RowResult {
  const latencies = samples.flatMap(({ latencyMs }) => (latencyMs === undefined ? [] : [latencyMs]));
  return {
    row: row.id,
    title: row.title,
    sender: row.sender,
    callers: row.callers,
    counts: row.oneCount ? 1 : counts,
    addedFsyncMs: row.addedFsyncMs,
    writesPerS: figureOf(samples.map(({ writesPerS }) => writesPerS)),
    p50Ms: latencies.length === 0 ? undefined : figureOf(latencies.map(({ p50 }) => p50)),
    p99Ms: latencies.length === 0 ? undefined : figureOf(latencies.map(({ p99 }) => p99)),
    cpuPercent: mediansOf(samples.map(({ cpuPercent }) => cpuPercent)),
    cpuUsPerWrite: mediansOf(samples.map(({ cpuUsPerWrite }) => cpuUsPerWrite)),
    acknowledged: samples.reduce((sum, { acknowledged }) => sum + acknowledged, 0),
    drainMs: figureOf(samples.map(({ drainMs }) => drainMs)),
    faults: samples.flatMap(({ faults }) => faults),
  };
}

function mediansOf(records: readonly Readonly<Record<string, number>>[]): Readonly<Record<string, number>> {
  const names = new Set(records.flatMap((record) => Object.keys(record)));
  return Object.fromEntries(
    [...names].map((name) => [name, figureOf(records.map((record) => record[name] ?? 0)).median]),
  );
}
