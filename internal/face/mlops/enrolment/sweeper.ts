import type { Clock } from "../../../platform/clock/clock.ts";
import type { Component } from "../../../platform/lifecycle/component.ts";
import { createLoop } from "../../../platform/lifecycle/loop.ts";
import type { Database } from "../../../platform/postgres/database.ts";
import type { Logger } from "../../../platform/telemetry/logger.ts";
import type { GalleryRules } from "../gallery/rules.ts";
import type { GalleryStore } from "../gallery/store.ts";
import type { ModelRules } from "../model/rules.ts";
import type { ModelStore } from "../model/store.ts";
import type { RequestStore } from "../request/store.ts";
import type { FaceSaga } from "./saga.ts";
import type { EnrolmentStore } from "./store.ts";

/** Things of a kind that one sweep takes up at most. */
const takenUpMax = 100;

/** Where half-done work is found, and who finishes it. */
export interface SweeperDeps {
  readonly database: Database;
  readonly enrolments: Pick<EnrolmentStore, "changes">;
  readonly galleries: Pick<GalleryStore, "tryHold" | "untold">;
  readonly models: Pick<ModelStore, "untold">;
  readonly requests: Pick<RequestStore, "forgetOld">;
  readonly saga: Pick<FaceSaga, "settle">;
  readonly doors: Pick<GalleryRules, "tell">;
  readonly modelRules: Pick<ModelRules, "tell">;
  readonly clock: Clock;
  readonly log: Logger;
  /** Pause between two sweeps, in milliseconds; the first comes at the start. */
  readonly everyMs: number;
}

/**
 * Finishes or undoes changes of faces that were left half done, tells doors what they were not told, and forgets requests whose time
 * is over. Each instance runs one. A change whose galleries are held is being made, and passed over.
 */
export function createSweeper(deps: SweeperDeps): Component {
  const { clock, log, everyMs } = deps;
  return createLoop({
    name: "mlops sweeper",
    clock,
    everyMs,
    work: () => sweep(deps),
    onFailure: (error) => log.warn("a sweep failed", { err: error }),
  });
}

/** One sweep. */
async function sweep(deps: SweeperDeps): Promise<void> {
  const { database, enrolments, galleries, models, requests, saga, doors, modelRules, clock, log } = deps;
  const { sql } = database;
  const each = async (what: string, id: string, work: () => Promise<void>): Promise<void> => {
    try {
      await work();
    } catch (error) {
      log.warn(`${what} cannot be finished yet`, { id, err: error });
    }
  };
  for (const change of await enrolments.changes(sql, takenUpMax)) {
    const { changeId, enrolmentId, modelId, branchIds } = change;
    await each("a change of faces that was left half done", changeId, () =>
      database.transaction(async (tx) => {
        if (!(await galleries.tryHold(tx, modelId, branchIds))) return;
        const finished = await saga.settle(change);
        const outcome = finished === undefined ? "undone" : "finished";
        log.info("settled a change of faces that was left half done", { enrolment_id: enrolmentId, outcome });
      }),
    );
  }
  for (const modelId of await models.untold(sql, takenUpMax)) {
    await each("telling doors of a face model", modelId, () => modelRules.tell(modelId));
  }
  for (const branchId of await galleries.untold(sql, takenUpMax)) {
    await each("telling doors of an active gallery", branchId, () => doors.tell([branchId]));
  }
  await requests.forgetOld(sql, clock.now());
}
