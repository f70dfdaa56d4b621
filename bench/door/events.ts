import type { Latency } from "../harness/latency.ts";
import type { Answers, Subject } from "./subject.ts";
import type { WriteTimes } from "./times.ts";
import type { World } from "./world.ts";

/** What happens beside looking: each has rows of its own. */
export interface EventRow {
  /** Such as "enrol/store". */
  readonly row: string;
  readonly title: string;
  /** Of what is awaited. */
  readonly latencyMs: Latency & { readonly mean?: number };
  readonly count: number;
  readonly faults: readonly string[];
}

/** Identifications per second meanwhile. */
const ratePerS = 200;
/** Pieces in which they are sent while something else lasts. */
const pieceMs = 500;
/** Time for all enrolments, or erasures, on the slowest machine. */
const writesMsMax = 600_000;
/** Before the store stops, and after it goes on. */
const aroundMs = 1000;

/** Enrols people, and erases them, while others come to the door. */
export async function measureWrites(
  world: World,
  options: { readonly faces: number; readonly people: number },
): Promise<readonly EventRow[]> {
  const { faces, people: count } = options;
  const door = doorOf(world);
  const enrolled = await beside(door, faces, () => world.writes.ask({ kind: "enrol", faces, count }, writesMsMax));
  const erased = await beside(door, faces, () => world.writes.ask({ kind: "erase", faces, count }, writesMsMax));
  return [
    {
      row: "enrol/store",
      title: "write of a face begun -> an Identify finds it",
      latencyMs: enrolled.of("store"),
      count,
      faults: enrolled.faults,
    },
    {
      row: "enrol/copy",
      title: "the same -> found in a snapshot too",
      latencyMs: enrolled.of("copy"),
      count,
      faults: enrolled.faults,
    },
    {
      row: "erase",
      title: "denial begun -> effective on every process",
      latencyMs: erased.of("every process"),
      count,
      faults: erased.faults,
    },
  ];
}

/** What came of it. */
interface Beside {
  readonly of: (name: string) => EventRow["latencyMs"];
  readonly faults: readonly string[];
}

/** Sends identifications until `work` is done. */
export async function beside(door: Subject, faces: number, work: () => Promise<WriteTimes>): Promise<Beside> {
  const state = { isDone: false };
  const watched = work().finally(() => (state.isDone = true));
  watched.catch(() => undefined); // Told below.
  const faults: string[] = [];
  while (!state.isDone) faults.push(...faultsOf(await door.run({ faces, ratePerS, windowMs: pieceMs })));
  const { latencyMs, wrong } = await watched;
  if (wrong > 0) faults.push(`${wrong} decisions were wrong after a write`);
  return {
    faults,
    of: (name) => {
      const latency = latencyMs[name];
      if (latency === undefined) throw new Error(`no time is called ${name}`);
      return latency;
    },
  };
}

/** Halts the face Redis while people come to the door. */
export async function measureHalt(
  world: World,
  options: { readonly faces: number; readonly haltMs: number },
): Promise<EventRow> {
  const answers = await halted(doorOf(world), options, (name) => world.redis.kill(name));
  const title = `Identify in process, the face Redis halted for ${options.haltMs} ms`;
  return { row: "halt", title, latencyMs: answers.latencyMs, count: answers.calls, faults: faultsOf(answers) };
}

/** Sends identifications while a store is halted by its signals, and a while before and after. */
export async function halted(
  door: Subject,
  { faces, haltMs }: { readonly faces: number; readonly haltMs: number },
  signal: (name: NodeJS.Signals) => Promise<void>,
): Promise<Answers> {
  const answering = door.run({ faces, ratePerS, windowMs: haltMs + 2 * aroundMs });
  answering.catch(() => undefined); // Told below.
  await Bun.sleep(aroundMs);
  await signal("SIGSTOP");
  try {
    await Bun.sleep(haltMs);
  } finally {
    await signal("SIGCONT");
  }
  return await answering;
}

function doorOf({ subjects }: World): Subject {
  const door = subjects.get("hedged");
  if (door === undefined) throw new Error("nobody is at the door");
  return door;
}

/** Why a window does not count. */
export function faultsOf({ wrong, refused }: Answers): readonly string[] {
  const faults = Object.entries(refused).map(([reason, count]) => `${count} x ${reason}`);
  return wrong > 0 ? [...faults, `${wrong} wrong decisions`] : faults;
}
