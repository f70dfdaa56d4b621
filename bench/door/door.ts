import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../../internal/platform/clock/clock.ts";
import { provideRedis } from "../../internal/platform/local/redis-binary.ts";
import { describeMachine, type Machine } from "../harness/machine.ts";
import { type Figure, figureOf } from "../harness/statistics.ts";
import { type EventRow, measureHalt, measureWrites } from "./events.ts";
import { provideFaiss } from "./faiss.ts";
import { measure, type Sample } from "./measure.ts";
import { listRows, type Row, type SubjectName } from "./rows.ts";
import { measureRpcHalt, measureRpcWrites } from "./rpc-events.ts";
import { judge, recall, type TargetResult } from "./targets.ts";
import { openWorld, type World } from "./world.ts";

/** How a run is made. */
export interface DoorOptions {
  /** Rows to measure. */
  readonly wanted: (row: Pick<Row, "id" | "quick">) => boolean;
  /** Sizes of the galleries. */
  readonly sizes: readonly number[];
  /** Faces at the door, in turn. */
  readonly probes: number;
  readonly windowMs: number;
  readonly warmUpMs: number;
  readonly repetitions: number;
  /** People who are enrolled and erased while others come to the door. */
  readonly people: number;
  /** Enrolments and erasures by RPC. */
  readonly rpcPeople: number;
  /** How long the store is halted. */
  readonly haltMs: number;
  /** Told what is going on. */
  readonly report: (line: string) => void;
}

/** A row as it was measured. */
export interface RowResult {
  readonly row: string;
  readonly title: string;
  readonly faces: number;
  readonly ratePerS: number | undefined;
  readonly p50Ms: Figure;
  readonly p99Ms: Figure;
  readonly maxMs: number;
  readonly calls: number;
  readonly recall: number;
  /** Decisions that are not those of the exact comparison. */
  readonly wrong: number;
  /** CPU of all processes for one call, in microseconds. */
  readonly cpuUsPerCall: Figure;
  /** Of each process: medians, in percent of one core and MiB. */
  readonly cpuPercent: Readonly<Record<string, number>>;
  readonly memoryMiB: Readonly<Record<string, number>>;
  /** Why the row does not count; empty when it does. */
  readonly faults: readonly string[];
}

/** A run of the suite. */
export interface DoorResult {
  readonly machine: Machine;
  readonly redis: string;
  readonly rows: readonly RowResult[];
  readonly events: readonly EventRow[];
  readonly skipped: readonly { readonly row: string; readonly reason: string }[];
  readonly targets: readonly TargetResult[];
}

/** What is measured beside the rows, by the names that `wanted` is asked about. */
const eventIds = { writes: "writes", halt: "halt", rpcWrites: "rpc/writes", rpcHalt: "rpc/halt" } as const;

/** Measures the rows. Everything it starts has ended when it resolves. */
export async function runDoor(options: DoorOptions): Promise<DoorResult> {
  const { sizes, report, wanted } = options;
  const machine = describeMachine();
  const redis = await provideRedis({ env: process.env, report, clock: systemClock });
  const folder = await mkdtemp(join(tmpdir(), "muin-bench-door-"));
  await using cleanUp = new AsyncDisposableStack();
  cleanUp.defer(() => rm(folder, { recursive: true, force: true }));

  const asked = listRows(sizes).filter((row) => wanted(row));
  const needsFaiss = asked.some(({ subject }) => subject === "faiss");
  const faissPackages = needsFaiss ? await provideFaiss(report) : undefined;
  const isSkipped = (row: Row): boolean => row.subject === "faiss" && faissPackages === undefined;
  const rows = asked.filter((row) => !isSkipped(row));
  const skipped = asked.filter(isSkipped).map(({ id }) => ({ row: id, reason: "pip cannot install faiss-cpu" }));
  const events = Object.values(eventIds).filter((id) => wanted({ id, quick: true }));

  const subjects = new Set<SubjectName>(rows.map(({ subject }) => subject));
  for (const id of events) subjects.add(id === eventIds.rpcWrites || id === eventIds.rpcHalt ? "rpc" : "hedged");
  await using world = await openWorld({ folder, sizes, probes: options.probes, subjects, faissPackages, report });
  const samples = await measureRows(rows, world, options);
  const measured = await measureEvents(events, world, options);
  return {
    machine,
    redis: redis.version,
    rows: rows.map((row) => summarise(row, samples.get(row.id) ?? [])),
    events: measured,
    skipped,
    targets: judge(samples, measured),
  };
}

/** Lets the rows of a series take turns, each warmed up before. */
async function measureRows(rows: readonly Row[], world: World, options: DoorOptions): Promise<Map<string, Sample[]>> {
  const { windowMs, warmUpMs, repetitions, report } = options;
  const samples = new Map<string, Sample[]>(rows.map(({ id }) => [id, []]));
  for (const series of new Set(rows.map((row) => row.series))) {
    report(series);
    const members = rows.filter((row) => row.series === series);
    for (const row of members) await measure(row, subjectOf(row, world), warmUpMs);
    for (let repetition = 1; repetition <= repetitions; repetition += 1) {
      for (const row of members) {
        const sample = await measure(row, subjectOf(row, world), windowMs);
        samples.get(row.id)?.push(sample);
        const { latencyMs, faults } = sample;
        const invalid = faults.length === 0 ? "" : `  INVALID: ${faults.join("; ")}`;
        report(`  ${row.id} ${repetition}: p50 ${latencyMs.p50.toFixed(2)}, p99 ${latencyMs.p99.toFixed(2)}${invalid}`);
      }
    }
  }
  return samples;
}

function subjectOf({ subject }: Row, { subjects }: World) {
  const found = subjects.get(subject);
  if (found === undefined) throw new Error(`${subject} was not started`);
  return found;
}

async function measureEvents(
  wanted: readonly string[],
  world: World,
  { sizes, people, rpcPeople, haltMs, report }: DoorOptions,
): Promise<readonly EventRow[]> {
  const faces = Math.max(...sizes);
  const events: EventRow[] = [];
  if (wanted.includes(eventIds.writes)) {
    report(`enrolling and erasing ${people} people`);
    events.push(...(await measureWrites(world, { faces, people })));
  }
  if (wanted.includes(eventIds.halt)) {
    report(`halting Redis for ${haltMs} ms`);
    events.push(await measureHalt(world, { faces, haltMs }));
  }
  const { door, subjects } = world;
  const rpc = subjects.get("rpc");
  if (door === undefined || rpc === undefined) return events;
  if (wanted.includes(eventIds.rpcWrites)) {
    report(`enrolling and erasing ${rpcPeople} faces by RPC`);
    events.push(...(await measureRpcWrites(door, rpc, { faces, times: rpcPeople })));
  }
  if (wanted.includes(eventIds.rpcHalt)) {
    report(`halting Muin's face Redis for ${haltMs} ms`);
    events.push(await measureRpcHalt(door, rpc, { faces, haltMs }));
  }
  return events;
}

function summarise(row: Row, samples: readonly Sample[]): RowResult {
  const sum = (of: (sample: Sample) => number): number => samples.reduce((total, sample) => total + of(sample), 0);
  return {
    row: row.id,
    title: row.title,
    faces: row.faces,
    ratePerS: row.ratePerS,
    p50Ms: figureOf(samples.map(({ latencyMs }) => latencyMs.p50)),
    p99Ms: figureOf(samples.map(({ latencyMs }) => latencyMs.p99)),
    maxMs: Math.max(...samples.map(({ latencyMs }) => latencyMs.max)),
    calls: sum(({ calls }) => calls),
    recall: recall({ known: sum(({ known }) => known), recognised: sum(({ recognised }) => recognised) }),
    wrong: sum(({ wrong }) => wrong),
    cpuUsPerCall: figureOf(samples.map(({ cpuUsPerCall }) => cpuUsPerCall)),
    cpuPercent: mediansOf(samples.map(({ cpuPercent }) => cpuPercent)),
    memoryMiB: mediansOf(samples.map(({ memoryMiB }) => memoryMiB)),
    faults: samples.flatMap(({ faults }) => faults),
  };
}

function mediansOf(records: readonly Readonly<Record<string, number>>[]): Readonly<Record<string, number>> {
  const names = new Set(records.flatMap((record) => Object.keys(record)));
  return Object.fromEntries(
    [...names].map((name) => [name, figureOf(records.map((record) => record[name] ?? 0)).median]),
  );
}
