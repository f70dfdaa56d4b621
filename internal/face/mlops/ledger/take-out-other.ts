import type { Database, Transaction } from "../../../platform/postgres/database.ts";
import type { RedisStore } from "../../../platform/redis/redis-store.ts";
import type { Logger } from "../../../platform/telemetry/logger.ts";
import type { FaceWriter } from "../../shared/face-writer.ts";
import { readCopies } from "../check/stored-faces.ts";
import type { DigestStore } from "../digest/store.ts";
import { isOther } from "../enrolment/faces.ts";
import type { FaceSaga } from "../enrolment/saga.ts";
import type { EnrolmentStore } from "../enrolment/store.ts";
import type { GalleryStore, StoredGallery } from "../gallery/store.ts";

/** Galleries that are read at a time. */
const pageGalleries = 500;
/** Enrolments that are compared while their gallery is held: who enrols there waits for so long. */
const pageEnrolments = 200;

interface TakeOutDeps {
  readonly database: Database;
  readonly galleries: Pick<GalleryStore, "hold" | "of" | "page">;
  readonly enrolments: Pick<EnrolmentStore, "inGallery" | "changesAt">;
  readonly digests: Pick<DigestStore, "of">;
  readonly saga: Pick<FaceSaga, "settle">;
  readonly store: RedisStore;
  readonly writer: Pick<FaceWriter, "remove">;
  readonly log: Logger;
}

/**
 * Takes faces out of a face store that was started which are not those that were written last: an older file has them, and a door would open for a face that was replaced.
 * Those that were lost with the newer file stand nowhere any more: their people must have their faces replaced. Nobody is denied. Each gallery is held while it is
 * compared, so that whoever was writing to the store of before has made it known.
 */
export async function takeOutOther(deps: TakeOutDeps, signal: AbortSignal): Promise<void> {
  const { database, galleries } = deps;
  for (let last: StoredGallery | undefined; ;) {
    const page = await galleries.page(database.sql, last, pageGalleries);
    last = page.at(-1);
    if (last === undefined) return;
    for (const { branchId, modelId } of page) {
      for (let after: string | undefined = ""; after !== undefined;) {
        signal.throwIfAborted();
        const from: string = after;
        after = await database.transaction((tx) => compare(deps, tx, branchId, modelId, from));
      }
    }
  }
}

/** Compares enrolments of a gallery after the id `after`; returns the last one, or `undefined` when there are no more. */
async function compare(
  { galleries, enrolments, digests, saga, store, writer, log }: TakeOutDeps,
  tx: Transaction,
  branchId: string,
  modelId: string,
  after: string,
): Promise<string | undefined> {
  await galleries.hold(tx, modelId, [branchId]);
  // A change that was left half done is told by what stands in the store: settled first, it is no difference.
  for (const abandoned of await enrolments.changesAt(tx, modelId, [branchId])) await saga.settle(abandoned);
  const [gallery] = await galleries.of(tx, modelId, [branchId]);
  if (gallery === undefined) return undefined;
  const page = await enrolments.inGallery(tx, gallery, after, pageEnrolments);
  const ids = page.map(({ enrolmentId }) => enrolmentId);
  const [written, copies] = await Promise.all([digests.of(tx, gallery, ids), readCopies(store, gallery, page)]);
  for (const [place, enrolment] of page.entries()) {
    const templates = copies[place] ?? [];
    if (templates.length === 0 || !isOther(templates, written.get(enrolment.enrolmentId))) continue;
    await writer.remove(enrolment, [gallery, { ...gallery, generation: gallery.generation + 1 }]);
    log.error("the face store held other faces of an enrolment than were written last: they are taken out", {
      enrolment_id: enrolment.enrolmentId,
      branch_id: branchId,
    });
  }
  return ids.at(-1);
}
