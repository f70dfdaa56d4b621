import type { Figure } from "../harness/statistics.ts";
import { layOut } from "../harness/table.ts";
import type { CountsResult, RowResult } from "./counts.ts";

const processes = [
  "client",
  "muin",
  "generic server",
  "Go server",
  "relay + consumer",
  "redis counts",
  "redis events",
  "postgres",
];

/** The run as a table, for a person. */
export function printCounts(result: CountsResult): string {
  const { machine } = result;
  const head = [
    "row",
    "sender",
    "callers",
    "Counts",
    "k writes/s",
    "range",
    "p50 ms",
    "p99 ms",
    "client us/write",
    "drain ms",
    ...processes.map((name) => `${name} %`),
  ];
  const parts = [
    `${machine.cores} x ${machine.cpu}, ${machine.memoryGiB} GiB, Linux ${machine.kernel}, Bun ${machine.bun}, Redis ${result.redis} (appendfsync always)`,
    `load average before: ${machine.load}; fdatasync of the data folder, p50: ${result.fdatasyncP50Ms.toFixed(3)} ms`,
    "senders, servers and stores share these cores; CPU in percent of one core; a row is the median of its repetitions",
    "",
    layOut(head, result.rows.map(cellsOf)),
    "",
    layOut(
      ["target", "", "median", "range", ""],
      result.targets.map(({ name, target, figure, met }) => [
        name,
        target,
        figure.median.toFixed(2),
        `${figure.min.toFixed(2)} to ${figure.max.toFixed(2)}`,
        met ? "met" : "missed",
      ]),
    ),
    ...result.skipped.map(({ row, reason }) => `skipped ${row}: ${reason}`),
    ...result.rows.flatMap(({ row, faults }) => faults.map((fault) => `INVALID ${row}: ${fault}`)),
    ...result.faults.map((fault) => `INVALID: ${fault}`),
  ];
  return parts.join("\n");
}

/** Whether every row counts and nothing was lost or repeated. Timings never decide. */
export function isSound(result: CountsResult): boolean {
  return result.faults.length === 0 && result.rows.every(({ faults }) => faults.length === 0);
}

function cellsOf(row: RowResult): string[] {
  return [
    `${row.title}${row.addedFsyncMs > 0 ? `, fsync +${row.addedFsyncMs} ms` : ""}${row.faults.length > 0 ? " (INVALID)" : ""}`,
    row.sender,
    row.callers.toString(),
    row.counts.toString(),
    thousand(row.writesPerS.median),
    `${thousand(row.writesPerS.min)}-${thousand(row.writesPerS.max)}`,
    ms(row.p50Ms),
    ms(row.p99Ms),
    (row.cpuUsPerWrite["client"] ?? 0).toFixed(1),
    row.drainMs.median.toFixed(0),
    ...processes.map((name) => {
      const percent = row.cpuPercent[name];
      return percent === undefined ? "" : percent.toFixed(0);
    }),
  ];
}

function thousand(value: number): string {
  return (value / 1000).toFixed(1);
}

function ms(figure: Figure | undefined): string {
  return figure === undefined ? "" : figure.median.toFixed(2);
}
