import { type Figure, figureOf } from "../harness/statistics.ts";
import type { Sample } from "./measure.ts";

/** A target, and whether this run meets it. */
export interface TargetResult {
  readonly name: string;
  /** Such as ">= 3". */
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

const rate = (sample: Sample): number => sample.writesPerS;
const clientCpu = (sample: Sample): number => sample.cpuUsPerWrite["client"] ?? Number.NaN;
const p99 = (sample: Sample): number => sample.latencyMs?.p99 ?? Number.POSITIVE_INFINITY;

function listTargets(withWrk: boolean): readonly Target[] {
  const targets: Target[] = [];
  const wrk = withWrk ? "/wrk" : "";
  for (const callers of [64, 256]) {
    const peer = `connection-per-caller/${callers}`;
    for (const way of ["writer", "writer-and-relay"]) {
      const what = way === "writer" ? "write path" : "write path with relay and consumer";
      const row = `${way}/${callers}`;
      targets.push(
        {
          name: `${what}: rate / plain INCR, connection each, ${callers} callers`,
          bound: { least: 1 },
          row,
          peer,
          of: rate,
        },
        {
          name: `${what}: client CPU per write / the same, ${callers} callers`,
          bound: { most: 0.5 },
          row,
          peer,
          of: clientCpu,
        },
      );
    }
    targets.push(
      {
        name: `Increment over Connect: rate / generic handler, ${callers} callers`,
        bound: { least: 3 },
        row: `connect-binary${wrk}/${callers}`,
        peer: `generic${wrk}/${callers}`,
        of: rate,
      },
      {
        name: `Increment over Connect: rate / Go peer, ${callers} callers`,
        bound: { least: 0.9 },
        row: `connect-binary/wrk/${callers}`,
        peer: `go-connect/wrk/${callers}`,
        of: rate,
      },
      {
        name: `Increment over gRPC: rate / Go peer, ${callers} callers`,
        bound: { least: 0.8 },
        row: `grpc/h2load/${callers}`,
        peer: `go-grpc/h2load/${callers}`,
        of: rate,
      },
      {
        name: `BatchWrite: writes / plain INCR, one connection, ${callers} callers`,
        bound: { least: 1 },
        row: `batch-write/${callers}`,
        peer: `one-connection/${callers}`,
        of: rate,
      },
    );
    for (const [lane, row] of [
      ["connect-binary", "connect-binary/open"],
      ["connect-json", "connect-json/open"],
      ["rest", "rest/open"],
      ["grpc", "grpc/h2load/open"],
    ] as const) {
      targets.push({
        name: `${lane}: p99 ms at 5000/s, ${callers} callers`,
        bound: { most: 10 },
        row: `${row}/${callers}`,
        of: p99,
      });
    }
  }
  return targets;
}

/** Holds a run against the targets, as far as it has their rows. A target is met by the median. */
export function judge(samples: Samples, withWrk: boolean): readonly TargetResult[] {
  return listTargets(withWrk).flatMap(({ name, bound, row, peer, of }) => {
    const own = samples.get(row);
    const others = peer === undefined ? undefined : samples.get(peer);
    if (own === undefined || (peer !== undefined && others === undefined)) return [];
    const values = own.map((sample, place) => {
      const other = others?.[place];
      return other === undefined ? of(sample) : of(sample) / of(other);
    });
    const figure = figureOf(values);
    const met = "least" in bound ? figure.median >= bound.least : figure.median <= bound.most;
    return [{ name, target: "least" in bound ? `>= ${bound.least}` : `<= ${bound.most}`, figure, met }];
  });
}
