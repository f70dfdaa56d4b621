import { join } from "node:path";
import type { Clock } from "../../../platform/clock/clock.ts";
import type { Component } from "../../../platform/lifecycle/component.ts";
import { createLoop } from "../../../platform/lifecycle/loop.ts";
import { readJson, replaceFile } from "../../../platform/local/files.ts";
import type { Logger } from "../../../platform/telemetry/logger.ts";
import type { Copies } from "./copies.ts";

/** How often it is looked whether other branches are loaded than before. */
const keepEveryMs = 5000;

/**
 * Keeps in the instance's folder which branches it has snapshots of, so that they are loaded when it is started again, and not only when somebody stands at a door: by then
 * the store may be away.
 */
export function createKeptBranches(options: {
  readonly folder: string;
  readonly copies: Pick<Copies, "all">;
  /** Asks for a branch to be loaded. */
  readonly want: (branchId: string) => void;
  readonly clock: Clock;
  readonly log: Logger;
}): Component {
  const { folder, copies, want, clock, log } = options;
  const path = join(folder, "snapshots.json");
  let kept = "";
  const keep = async (): Promise<void> => {
    const ready = Array.from(copies.all()).filter(({ isReady }) => isReady);
    const branches = JSON.stringify(ready.map(({ branchId }) => branchId).toSorted());
    // None at the moment is no reason to forget them: they may just be loading.
    if (branches === kept || ready.length === 0) return;
    await replaceFile(path, branches, { mode: 0o600 });
    kept = branches;
  };
  const loop = createLoop({
    name: "kept branches",
    clock,
    everyMs: keepEveryMs,
    atStop: true,
    work: keep,
    onFailure: (error) => log.warn("which branches there are snapshots of could not be kept", { err: error }),
  });
  return {
    ...loop,
    start: async () => {
      const branches = await readJson<unknown>(path).catch((error: unknown) => {
        log.warn("which branches there were snapshots of cannot be read", { err: error });
        return undefined;
      });
      for (const branchId of Array.isArray(branches) ? branches : []) want(String(branchId));
      await loop.start();
    },
  };
}
