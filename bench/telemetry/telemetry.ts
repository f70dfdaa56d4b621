import { join } from "node:path";
import { measure, type Sample, storedAfter } from "../counts/measure.ts";
import { startMuinSubject } from "../counts/muin-subject.ts";
import type { RpcLoadOptions } from "../counts/rpc-load.ts";
import { startChild } from "../harness/child.ts";
import type { LoadResult, RunLoad } from "../harness/load.ts";
import { describeMachine, type Machine } from "../harness/machine.ts";
import { type Figure, figureOf } from "../harness/statistics.ts";
import { layOut } from "../harness/table.ts";

/** How tracing is set, and the environment that sets it; the collector's address is added unless it is off. */
const modes = [
  { name: "tracing off", samplePercent: undefined },
  { name: "tracing on, 0 % sampled", samplePercent: 0 },
  { name: "tracing on, 10 % sampled", samplePercent: 10 },
  { name: "tracing on, 100 % sampled", samplePercent: 100 },
] as const;

/** How a run is made. */
export interface TelemetryOptions {
  readonly windowMs: number;
  readonly warmUpMs: number;
  readonly repetitions: number;
  readonly callers: number;
  readonly counts: number;
  readonly report: (line: string) => void;
}

/** What a setting of tracing costs. */
export interface TelemetryRow {
  readonly row: string;
  readonly callsPerS: Figure;
  /** Calls per second as a share of those with tracing off, in the same round. */
  readonly rateRatio: Figure;
  /** CPU of Muin for one call, in microseconds; spans are made and sent by this process. */
  readonly muinUsPerCall: Figure;
  readonly p99Ms: Figure;
  /** Bytes of spans that reached the collector. */
  readonly spanBytes: number;
  readonly faults: readonly string[];
}

/** A run of the suite. */
export interface TelemetryResult {
  readonly machine: Machine;
  readonly rows: readonly TelemetryRow[];
}

/** Measures Increment over Connect binary under saturation by autocannon with each setting, the settings taking turns. */
export async function runTelemetry(options: TelemetryOptions): Promise<TelemetryResult> {
  const machine = describeMachine();
  const samples = new Map<string, Sample[]>(modes.map(({ name }) => [name, []]));
  const spanBytes = new Map<string, number>();
  for (let round = 1; round <= options.repetitions; round += 1) {
    for (const { name, samplePercent } of modes) {
      const { sample, bytes } = await measureMode(samplePercent, options);
      samples.get(name)?.push(sample);
      spanBytes.set(name, (spanBytes.get(name) ?? 0) + bytes);
      options.report(`  ${name} ${round}: ${(sample.writesPerS / 1000).toFixed(1)} k/s ${sample.faults.join("; ")}`);
    }
  }
  const off = samples.get(modes[0].name) ?? [];
  return {
    machine,
    rows: modes.map(({ name }) => {
      const own = samples.get(name) ?? [];
      return {
        row: name,
        callsPerS: figureOf(own.map(({ writesPerS }) => writesPerS)),
        rateRatio: figureOf(own.map(({ writesPerS }, round) => writesPerS / (off[round]?.writesPerS ?? Number.NaN))),
        muinUsPerCall: figureOf(own.map(({ cpuUsPerWrite }) => cpuUsPerWrite["muin"] ?? Number.NaN)),
        p99Ms: figureOf(own.map(({ latencyMs }) => latencyMs?.p99 ?? Number.NaN)),
        spanBytes: spanBytes.get(name) ?? 0,
        faults: own.flatMap(({ faults }) => faults),
      };
    }),
  };
}

async function measureMode(
  samplePercent: number | undefined,
  { windowMs, warmUpMs, callers, counts }: TelemetryOptions,
): Promise<{ readonly sample: Sample; readonly bytes: number }> {
  let bytes = 0;
  const collector = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: async (request) => {
      bytes += (await request.bytes()).length;
      return new Response(null, { headers: { "content-type": "application/x-protobuf" } });
    },
  });
  await using cleanUp = new AsyncDisposableStack();
  cleanUp.defer(() => collector.stop(true));
  const subject = await startMuinSubject(
    counts,
    samplePercent === undefined
      ? {}
      : { OTEL_EXPORTER_OTLP_ENDPOINT: collector.url.href, MUIN_TRACE_SAMPLE_PERCENT: `${samplePercent}` },
  );
  cleanUp.defer(() => subject.close());
  const load = await startChild<RunLoad, LoadResult>(join(import.meta.dir, "../counts/rpc-load.ts"), {
    lane: "connect-binary",
    url: subject.muin.http,
    apiKey: subject.muin.apiKey,
    callers,
    counts,
  } satisfies RpcLoadOptions);
  cleanUp.defer(() => load.close());
  const run = (ms: number): Promise<LoadResult> => load.ask({ windowMs: ms });
  if (warmUpMs > 0) await storedAfter(subject, await run(warmUpMs));
  const sample = await measure(subject, { pid: load.pid, run, close: () => load.close() }, windowMs);
  return { sample, bytes };
}

/** The run as a table, for a person. */
export function printTelemetry({ machine, rows }: TelemetryResult): string {
  return [
    `${machine.cores} x ${machine.cpu}, ${machine.memoryGiB} GiB, Bun ${machine.bun}; load average before: ${machine.load}`,
    "Increment over Connect binary, saturation by autocannon; the collector, the sender and all servers share these cores",
    "",
    layOut(
      ["row", "calls/s", "rate / off", "muin us/call", "p99 ms", "KiB of spans"],
      rows.map((row) => [
        row.row,
        range(row.callsPerS, 0),
        range(row.rateRatio, 2),
        range(row.muinUsPerCall, 1),
        range(row.p99Ms, 1),
        (row.spanBytes / 1024).toFixed(0),
      ]),
    ),
    ...rows.flatMap(({ row, faults }) => faults.map((fault) => `INVALID ${row}: ${fault}`)),
  ].join("\n");
}

function range({ median, min, max }: Figure, digits: number): string {
  return `${median.toFixed(digits)} (${min.toFixed(digits)} to ${max.toFixed(digits)})`;
}
