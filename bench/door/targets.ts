import { type Figure, figureOf } from "../harness/statistics.ts";
import type { EventRow } from "./events.ts";
import type { Sample } from "./measure.ts";

/** A target, and whether this run meets it. */
export interface TargetResult {
  readonly name: string;
  /** Such as "<= 5". */
  readonly target: string;
  /** Over the repetitions; a ratio is taken within each of them. */
  readonly figure: Figure;
  readonly met: boolean;
}

/** Samples by row, in the order of the repetitions. */
export type Samples = ReadonlyMap<string, readonly Sample[]>;

interface Target {
  readonly name: string;
  readonly bound: { readonly least: number } | { readonly most: number };
  readonly row: string;
  /** The row it is compared with; absent for a figure that stands for itself. */
  readonly peer?: string;
  readonly of: (sample: Sample) => number;
}

interface EventTarget {
  readonly name: string;
  readonly most: number;
  readonly row: string;
  readonly of: (row: EventRow) => number;
}

/** Engines of a door. */
const engines = ["store", "snapshot", "hedged"] as const;
const largest = 20_000;

const p50 = ({ latencyMs }: Sample): number => latencyMs.p50;
const p99 = ({ latencyMs }: Sample): number => latencyMs.p99;
/** Share of the decisions about those who are to be recognised that were right. */
export const recall = ({ known, recognised }: Pick<Sample, "known" | "recognised">): number =>
  known === 0 ? 1 : recognised / known;

const recallTargets: readonly Target[] = engines.flatMap((engine) =>
  [1000, 5000, largest].map((faces) => ({
    name: `${engine}: recall@1, ${faces} faces, 200/s`,
    bound: { least: 1 },
    row: `${engine}/${faces}/200`,
    of: recall,
  })),
);

const latencyTargets: readonly Target[] = engines.flatMap((engine) => {
  const row = `${engine}/${largest}/200`;
  return [
    { name: `${engine}: p50 ms, ${largest} faces, 200/s`, bound: { most: 2 }, row, of: p50 },
    { name: `${engine}: p99 ms, ${largest} faces, 200/s`, bound: { most: 5 }, row, of: p99 },
  ];
});

const scanTargets: readonly Target[] = [1000, 5000, largest].map((faces) => ({
  name: `snapshot's scan: p50 / FAISS IndexFlatIP, ${faces} faces`,
  bound: { most: 1 },
  row: `scan/${faces}/alone`,
  peer: `faiss/${faces}/alone`,
  of: p50,
}));

const eventTargets: readonly EventTarget[] = [
  {
    name: "enrol -> findable at the door, mean ms",
    most: 5,
    row: "enrol/store",
    of: ({ latencyMs }) => latencyMs.mean ?? NaN,
  },
  { name: "erasure effective on every process, p99 ms", most: 10, row: "erase", of: ({ latencyMs }) => latencyMs.p99 },
  {
    name: "slowest decision with Redis halted for 5 s, ms",
    most: 100,
    row: "halt",
    of: ({ latencyMs }) => latencyMs.max,
  },
  {
    name: "EnrolFace -> an Identify admits the person, mean ms",
    most: 5,
    row: "enrol/rpc found",
    of: ({ latencyMs }) => latencyMs.mean ?? NaN,
  },
  { name: "EraseFace -> DONE, p99 ms", most: 10, row: "erase/rpc", of: ({ latencyMs }) => latencyMs.p99 },
  {
    name: "slowest Identify over Connect with Redis halted for 5 s, ms",
    most: 100,
    row: "halt/rpc",
    of: ({ latencyMs }) => latencyMs.max,
  },
];

/** Holds a run against the targets, as far as it has their rows. A target is met by the median. */
export function judge(samples: Samples, events: readonly EventRow[]): readonly TargetResult[] {
  const ofRows = [...recallTargets, ...latencyTargets, ...scanTargets].flatMap(({ name, bound, row, peer, of }) => {
    const own = samples.get(row);
    const others = peer === undefined ? undefined : samples.get(peer);
    if (own === undefined || (peer !== undefined && others === undefined)) return [];
    const figure = figureOf(
      own.map((sample, place) => {
        const other = others?.[place];
        return other === undefined ? of(sample) : of(sample) / of(other);
      }),
    );
    const met = "least" in bound ? figure.median >= bound.least : figure.median <= bound.most;
    return [{ name, target: "least" in bound ? `>= ${bound.least}` : `<= ${bound.most}`, figure, met }];
  });
  const ofEvents = eventTargets.flatMap(({ name, most, row, of }) => {
    const found = events.find((event) => event.row === row);
    if (found === undefined) return [];
    const figure = figureOf([of(found)]);
    return [{ name, target: `<= ${most}`, figure, met: figure.median <= most }];
  });
  return [...ofRows, ...ofEvents];
}
