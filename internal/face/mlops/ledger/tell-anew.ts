import type { Database } from "../../../platform/postgres/database.ts";
import type { GalleryRules } from "../gallery/rules.ts";
import type { GalleryStore } from "../gallery/store.ts";
import type { ModelRules } from "../model/rules.ts";
import type { ModelStore } from "../model/store.ts";

/** Things that are told in one go. */
const pageTold = 100;

/** Tells a face store that was started all models and all active galleries: an old file may have others. */
export async function tellAnew(
  deps: {
    readonly database: Pick<Database, "sql">;
    readonly models: Pick<ModelStore, "forgetTold" | "untold">;
    readonly galleries: Pick<GalleryStore, "forgetTold" | "untold">;
    readonly modelRules: Pick<ModelRules, "tell">;
    readonly doors: Pick<GalleryRules, "tell">;
  },
  signal: AbortSignal,
): Promise<void> {
  const { database, models, galleries, modelRules, doors } = deps;
  await models.forgetTold(database.sql);
  await galleries.forgetTold(database.sql);
  for (let modelIds; (modelIds = await models.untold(database.sql, pageTold)).length > 0;) {
    signal.throwIfAborted();
    for (const modelId of modelIds) await modelRules.tell(modelId);
  }
  for (let branchIds; (branchIds = await galleries.untold(database.sql, pageTold)).length > 0;) {
    signal.throwIfAborted();
    await doors.tell(branchIds);
  }
}
