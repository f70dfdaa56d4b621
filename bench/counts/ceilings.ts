import { readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createLatencyRecorder, type Latency } from "../harness/latency.ts";
import type { LoadResult } from "../harness/load.ts";
import { countIdAt, createRequestIds, incrementOf, incrementPath } from "./requests.ts";

/** h2load's connections; the callers share them as streams. */
const h2Connections = 8;

/** What a ceiling is taken of. */
export interface CeilingOptions {
  /** Origin; for gRPC host:port. */
  readonly url: string;
  readonly apiKey: string;
  readonly callers: number;
  readonly counts: number;
  /** Calls a second of open-loop load, by h2load alone; absent: as many as are answered. */
  readonly ratePerS?: number;
  /** Folder for scripts and bodies. */
  readonly folder: string;
}

/** Saturation by wrk, which takes less of the machine than any sender in JavaScript: Increment, Connect binary, request ids. */
export async function runWrk(options: CeilingOptions, windowMs: number): Promise<LoadResult> {
  const { url, apiKey, callers, counts, folder } = options;
  const script = join(folder, `wrk-${callers}.lua`);
  const prefix = createRequestIds()().slice(0, 8);
  await writeFile(
    script,
    `local headers = {["content-type"] = "application/proto", ["authorization"] = "Bearer ${apiKey}"}
local calls = 0
function request()
  calls = calls + 1
  local count_id = string.format("bench.%05d", calls * 7919 % ${counts})
  local request_id = string.format("${prefix}%08d", calls)
  local body = "\\10" .. string.char(#count_id) .. count_id .. "\\26" .. string.char(#request_id) .. request_id
  return wrk.format("POST", "${incrementPath}", headers, body)
end
function done(summary, latency)
  io.write(string.format("RESULT %d %d %d %d %d %d\\n", summary.requests, summary.errors.status,
    summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout,
    latency:percentile(50), latency:percentile(99), latency.max))
end
`,
  );
  const seconds = Math.max(1, Math.round(windowMs / 1000));
  const { output, ms, cpuMs } = await runTool([
    "wrk",
    "-t",
    "1",
    "-c",
    `${callers}`,
    "-d",
    `${seconds}s`,
    "-s",
    script,
    url,
  ]);
  const found = /^RESULT (\d+) (\d+) (\d+) (\d+) (\d+) (\d+)$/m.exec(output);
  if (found === null) throw new Error(`wrk said:\n${output}`);
  const [requests = 0, refused = 0, broken = 0, p50 = 0, p99 = 0, max = 0] = found.slice(1).map(Number);
  return {
    acknowledged: requests - refused,
    refused: namedCounts({ "not 2xx": refused, "connection errors": broken }),
    cutOff: callers,
    windowMs: ms,
    latencyMs: { p50: p50 / 1000, p99: p99 / 1000, max: max / 1000 },
    senderCpuMs: cpuMs,
  };
}

/**
 * Load by h2load: Increment over gRPC. It sends one body, so every call is to one Count and has no request id; its own count of
 * successes says little, as a refusal is HTTP 200 too: the server's counters decide. In open-loop load a call that finds all streams
 * taken waits, which its latency does not tell: the rate does.
 */
export async function runH2load(options: CeilingOptions, windowMs: number): Promise<LoadResult> {
  const { url, apiKey, callers, folder, ratePerS } = options;
  const body = incrementOf(countIdAt(0), "");
  const file = join(folder, "h2load-body");
  await writeFile(file, Buffer.concat([Buffer.from([0, 0, 0, 0, body.length]), Buffer.from(body, "latin1")]));
  const connections = Math.min(h2Connections, callers);
  const log = join(folder, "h2load-log");
  await rm(log, { force: true }); // It is appended to.
  const { output, ms, cpuMs } = await runTool([
    "h2load",
    "-c",
    `${connections}`,
    "-m",
    `${Math.round(callers / connections)}`,
    "-t",
    "1",
    "-D",
    `${Math.max(1, Math.round(windowMs / 1000))}`,
    "-d",
    file,
    ...(ratePerS === undefined ? [] : [`--rps=${ratePerS / connections}`, `--log-file=${log}`]),
    "-H",
    "content-type: application/grpc",
    "-H",
    "te: trailers",
    "-H",
    `authorization: Bearer ${apiKey}`,
    `http://${url}${incrementPath}`,
  ]);
  const requests = /requests: \d+ total, \d+ started, \d+ done, (\d+) succeeded, (\d+) failed/.exec(output);
  if (requests === null) throw new Error(`h2load said:\n${output}`);
  return {
    acknowledged: Number(requests[1]),
    refused: namedCounts({ failed: Number(requests[2]) }),
    cutOff: callers,
    windowMs: ms,
    latencyMs: ratePerS === undefined ? undefined : await latencyIn(log),
    senderCpuMs: cpuMs,
  };
}

/** Latency of the calls of a log of h2load: microseconds are the third column. */
async function latencyIn(log: string): Promise<Latency> {
  const recorder = createLatencyRecorder();
  for (const line of (await readFile(log, "utf8")).split("\n")) {
    const us = line.split("\t")[2];
    if (us !== undefined) recorder.record(Number(us) / 1000);
  }
  return recorder.summary();
}

function namedCounts(counts: Readonly<Record<string, number>>): Readonly<Record<string, number>> {
  return Object.fromEntries(Object.entries(counts).filter(([, count]) => count > 0));
}

async function runTool(command: string[]): Promise<{ output: string; ms: number; cpuMs: number }> {
  const startedMs = performance.now();
  const child = Bun.spawn(command, { stdin: "ignore", stdout: "pipe", stderr: "pipe" });
  const [output, error] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  const ms = performance.now() - startedMs;
  if (child.exitCode !== 0) throw new Error(`${command.join(" ")} failed:\n${output}${error}`);
  const cpu = child.resourceUsage()?.cpuTime.total ?? 0n;
  return { output, ms, cpuMs: Number(cpu) / 1000 };
}
