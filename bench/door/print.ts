import { layOut } from "../harness/table.ts";
import type { DoorResult, RowResult } from "./door.ts";

const processes = ["engine", "redis", "faiss", "muin", "sender"];

/** The run as a table, for a person. */
export function printDoor(result: DoorResult): string {
  const { machine } = result;
  const head = [
    "row",
    "faces",
    "calls/s",
    "p50 ms",
    "p99 ms",
    "range",
    "max ms",
    "recall@1",
    "wrong",
    "calls",
    "CPU us/call",
    ...processes.flatMap((name) => [`${name} %`, "MiB"]),
  ];
  const parts = [
    `${machine.cores} x ${machine.cpu}, ${machine.memoryGiB} GiB, Linux ${machine.kernel}, Bun ${machine.bun}, Redis ${result.redis} (appendfsync always)`,
    `load average before: ${machine.load}`,
    "senders, engines and stores share these cores; CPU in percent of one core; a row is the median of its repetitions",
    "",
    layOut(head, result.rows.map(cellsOf)),
    "",
    layOut(
      ["while 200 a second come to the door", "count", "mean ms", "p50 ms", "p99 ms", "max ms"],
      result.events.map(({ title, count, latencyMs }) => [
        title,
        count.toString(),
        latencyMs.mean?.toFixed(2) ?? "",
        latencyMs.p50.toFixed(2),
        latencyMs.p99.toFixed(2),
        latencyMs.max.toFixed(2),
      ]),
    ),
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
    ...[...result.rows, ...result.events].flatMap(({ row, faults }) =>
      faults.map((fault) => `INVALID ${row}: ${fault}`),
    ),
  ];
  return parts.join("\n");
}

/** Whether every row counts. Timings never decide. */
export function isSound({ rows, events }: DoorResult): boolean {
  return [...rows, ...events].every(({ faults }) => faults.length === 0);
}

function cellsOf(row: RowResult): string[] {
  return [
    `${row.title}${row.faults.length > 0 ? " (INVALID)" : ""}`,
    row.faces.toString(),
    row.ratePerS?.toString() ?? "one by one",
    row.p50Ms.median.toFixed(2),
    row.p99Ms.median.toFixed(2),
    `${row.p99Ms.min.toFixed(2)}-${row.p99Ms.max.toFixed(2)}`,
    row.maxMs.toFixed(1),
    row.recall.toFixed(4),
    row.wrong.toString(),
    row.calls.toString(),
    row.cpuUsPerCall.median.toFixed(0),
    ...processes.flatMap((name) => [row.cpuPercent[name]?.toFixed(0) ?? "", row.memoryMiB[name]?.toFixed(0) ?? ""]),
  ];
}
