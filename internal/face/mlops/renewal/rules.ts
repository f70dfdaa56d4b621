import type { Clock } from "../../../platform/clock/clock.ts";
import { isRefusal, type Refusal } from "../../../platform/errors/refusal.ts";
import type { Database, Transaction } from "../../../platform/postgres/database.ts";
import type { Logger } from "../../../platform/telemetry/logger.ts";
import type { FaceWriter } from "../../shared/face-writer.ts";
import type { KeyedGallery } from "../../shared/gallery.ts";
import type { Templates } from "../../shared/template.ts";
import type { DigestStore } from "../digest/store.ts";
import { digestOf, isOther, type Faces } from "../enrolment/faces.ts";
import type { FaceSaga } from "../enrolment/saga.ts";
import type { EnrolmentStore, StoredEnrolment } from "../enrolment/store.ts";
import { refuse } from "../errors.ts";
import type { GalleryRules } from "../gallery/rules.ts";
import type { GalleryStore, StoredGallery } from "../gallery/store.ts";

/** Enrolments that are turned while their gallery is held: who enrols there waits for so long. */
const pageEnrolments = 100;
/** Pages of one call. */
const callPages = 10;
/** By how much the clocks of instances may differ that note when faces were written, in milliseconds. */
const clockSkewMsMax = 60_000;

/** How far a renewal is. */
export interface RenewalStep {
  /** The enrolment that was turned last; empty when the renewal is over. */
  readonly after: string;
}

/** Why templates are not renewed. */
export type RenewalRefusal = Refusal<"galleryNotFound" | "galleryRenewed" | "templateSecretMissing">;

/**
 * Renews templates: all faces of a gallery are turned back, turned anew by the present secret and written as the next generation, beside the present one, by which doors go on
 * deciding. Then doors are told to decide by the new one, and the old one is removed. Faces that are written meanwhile are turned once more in the end, while the gallery is
 * held. Erasures remove from both.
 */
export interface RenewalRules {
  /** Does a part of it, from after the enrolment `after` on (empty: from the beginning). Of a gallery that was renewed: removes what is left of `generation`. */
  renew(
    named: { readonly branchId: string; readonly modelId: string; readonly generation: number },
    after: string,
    signal: AbortSignal,
  ): Promise<RenewalStep | RenewalRefusal>;
}

/** What renewals work on. */
interface RenewalDeps {
  readonly database: Database;
  readonly enrolments: Pick<EnrolmentStore, "inGallery" | "changedSince" | "changesAt">;
  readonly galleries: Pick<
    GalleryStore,
    "hold" | "of" | "holdActive" | "beginRenewal" | "renewalStart" | "endRenewal" | "activeChanged"
  >;
  readonly saga: Pick<FaceSaga, "settle">;
  readonly doors: Pick<GalleryRules, "tell">;
  readonly faces: Pick<Faces, "read" | "put">;
  readonly digests: DigestStore;
  readonly templates: Templates;
  readonly writer: Pick<FaceWriter, "dropGallery" | "remove">;
  readonly clock: Pick<Clock, "now">;
  readonly log: Logger;
}

export function createRenewalRules(deps: RenewalDeps): RenewalRules {
  const { database, enrolments, galleries, saga, doors, templates, writer, clock, log } = deps;

  const held = <T>(gallery: StoredGallery, work: (tx: Transaction) => Promise<T>): Promise<T> =>
    database.transaction(async (tx) => {
      await galleries.hold(tx, gallery.modelId, [gallery.branchId]);
      return work(tx);
    });

  /** Turns what was written since the renewal began, and makes the next generation the present one. */
  const finish = (from: StoredGallery, to: KeyedGallery): Promise<RenewalRefusal | undefined> =>
    held(from, async (tx) => {
      const { branchId, modelId } = from;
      // A change that was left half done is told by what stands in the generation that it was made in.
      for (const abandoned of await enrolments.changesAt(tx, modelId, [branchId])) await saga.settle(abandoned);
      const startMs = await galleries.renewalStart(tx, from);
      if (startMs === undefined) return undefined; // Somebody else was first.
      for (let after = ""; ;) {
        const page = await enrolments.changedSince(tx, from, startMs - clockSkewMsMax, after, pageEnrolments);
        const last = page.at(-1);
        if (last === undefined) break;
        const refusal = await turn(deps, tx, from, to, page);
        if (refusal !== undefined) return refusal;
        after = last.enrolmentId;
      }
      await galleries.holdActive(tx, [branchId]);
      await galleries.endRenewal(tx, to, clock.now());
      await deps.digests.forgetBefore(tx, to);
      if (from.state === "ACTIVE") await galleries.activeChanged(tx, branchId);
      return undefined;
    });

  return {
    renew: async ({ branchId, modelId, generation }, after, signal) => {
      const [gallery] = await galleries.of(database.sql, modelId, [branchId]);
      if (gallery === undefined) return refuse("galleryNotFound", { branch_id: branchId, model_id: modelId });
      if (gallery.generation !== generation && gallery.generation !== generation + 1) {
        return refuse("galleryRenewed", { generation: `${gallery.generation}` });
      }
      if (gallery.generation === generation) {
        const to: KeyedGallery = { branchId, modelId, generation: generation + 1, keyId: templates.keyId };
        if (after === "") await galleries.beginRenewal(database.sql, gallery, clock.now());
        let last = after;
        for (let pages = 0; pages < callPages; pages += 1) {
          signal.throwIfAborted();
          const end = await held(gallery, async (tx) => {
            const page = await enrolments.inGallery(tx, gallery, last, pageEnrolments);
            return (await turn(deps, tx, gallery, to, page)) ?? page.at(-1)?.enrolmentId;
          });
          if (isRefusal(end)) return end;
          if (end === undefined) break;
          last = end;
          if (pages === callPages - 1) return { after: last };
        }
        const refusal = await finish(gallery, to);
        if (isRefusal(refusal)) return refusal;
        log.info("the templates of a gallery are renewed", { branch_id: branchId, model_id: modelId, generation });
      }
      await doors.tell([branchId]);
      await writer.dropGallery({ branchId, modelId, generation }, signal);
      return { after: "" };
    },
  };
}

/** Turns enrolments of a gallery that is held. */
async function turn(
  { faces, digests, templates, writer }: RenewalDeps,
  tx: Transaction,
  from: StoredGallery,
  to: KeyedGallery,
  page: readonly StoredEnrolment[],
): Promise<RenewalRefusal | undefined> {
  const ids = page.map(({ enrolmentId }) => enrolmentId);
  const written = await digests.of(tx, from, ids);
  for (const enrolment of page) {
    const { enrolmentId } = enrolment;
    const present = await faces.read(enrolment, from);
    if (isOther(present, written.get(enrolmentId))) {
      await writer.remove(enrolment, [to]); // They are not what was written: turned anew, nobody could tell.
      continue;
    }
    const turned: Float32Array[] = [];
    for (const template of present) {
      const unit = templates.turnBack(from, template);
      const anew = unit && templates.turn(to, unit);
      if (anew === undefined) return refuse("templateSecretMissing", { branch_id: from.branchId });
      turned.push(anew);
    }
    if (turned.length === 0) continue;
    await faces.put(enrolment, [{ gallery: to, templates: turned }]);
    await digests.record(tx, enrolmentId, to, digestOf(turned));
  }
  return undefined;
}
