import { cpus, loadavg, release, totalmem } from "node:os";

/** The machine that a result was taken on. */
export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGiB: number;
  readonly kernel: string;
  readonly bun: string;
  /** Load average over a minute when the run began: what else the machine was doing. */
  readonly load: number;
}

/** Describes this machine. */
export function describeMachine(): Machine {
  const all = cpus();
  return {
    cpu: all[0]?.model ?? "unknown",
    cores: all.length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    kernel: release(),
    bun: Bun.version,
    load: Math.round((loadavg()[0] ?? 0) * 100) / 100,
  };
}
