import type { Database } from "../../../platform/postgres/database.ts";
import type { RedisStore } from "../../../platform/redis/redis-store.ts";
import type { Logger } from "../../../platform/telemetry/logger.ts";
import { type FaceChange, unpackChange } from "../../shared/change-stream.ts";
import type { EnrolmentName, FaceWriter } from "../../shared/face-writer.ts";
import type { GalleryId } from "../../shared/gallery.ts";
import { changesKey, readElementName } from "../../shared/key-schema.ts";
import type { DigestStore } from "../digest/store.ts";
import { isOther } from "../enrolment/faces.ts";
import type { EnrolmentStore, StoredEnrolment } from "../enrolment/store.ts";
import type { ErasableFaces } from "../erasure/faces.ts";
import type { ErasureStore } from "../erasure/store.ts";
import type { GalleryStore } from "../gallery/store.ts";
import { galleryNames } from "../ledger/gallery-names.ts";
import { readStoredFaces, type StoredFaces } from "./stored-faces.ts";

/** Enrolments that are compared in one round trip. */
const pageEnrolments = 100;
/** Enrolments that one call compares, about. */
const callEnrolmentsMax = 2000;
/** Entries of the change stream that are read at a time. */
const pageChanges = 64;
/** Ids of lost enrolments that are named. */
const lostNamedMax = 100;

/** What a part of a check found in a gallery. */
export interface CheckCounts {
  enrolmentsChecked: number;
  enrolmentsRepaired: number;
  enrolmentsLost: number;
  readonly lostEnrolmentIds: string[];
  erasedRemoved: number;
  unknownRemoved: number;
  changesRepaired: number;
}

/** Compares what the database, the vector sets, the copies and the changes say of faces. All of it may be done while faces are written. */
export interface FaceCheck {
  /**
   * Compares enrolments of a gallery after the id `after`; returns the last one, or `undefined` when there are no more. `mend`: writes what differs as the copies have
   * it, and takes out copies that are not what was written last.
   */
  enrolments(gallery: GalleryId, after: string, mend: boolean, counts: CheckCounts): Promise<string | undefined>;
  /** Looks for faces that stand in a gallery and should not. */
  strangers(gallery: GalleryId, mend: boolean, counts: CheckCounts): Promise<void>;
  /** Compares what doors were told last of a gallery's faces, as far as the changes reach back. */
  changes(gallery: GalleryId, mend: boolean, counts: CheckCounts): Promise<void>;
}

/** Counts of nothing. */
export function noCounts(): CheckCounts {
  return {
    enrolmentsChecked: 0,
    enrolmentsRepaired: 0,
    enrolmentsLost: 0,
    lostEnrolmentIds: [],
    erasedRemoved: 0,
    unknownRemoved: 0,
    changesRepaired: 0,
  };
}

interface CheckDeps {
  readonly database: Database;
  readonly enrolments: Pick<EnrolmentStore, "find" | "inGallery" | "among" | "changesAt">;
  readonly galleries: Pick<GalleryStore, "hold">;
  readonly digests: Pick<DigestStore, "of">;
  readonly erasures: Pick<ErasureStore, "recorded">;
  readonly store: RedisStore;
  readonly writer: Pick<FaceWriter, "put" | "remove">;
  readonly faces: Pick<ErasableFaces, "deny" | "remove" | "scrub">;
  readonly log: Logger;
}

export function createFaceCheck(deps: CheckDeps): FaceCheck {
  const { database, enrolments, erasures, store, faces, log } = deps;

  return {
    enrolments: async (gallery, after, mend, counts) => {
      let last = after;
      for (let compared = 0; compared < callEnrolmentsMax; compared += pageEnrolments) {
        const page = await enrolments.inGallery(database.sql, gallery, last, pageEnrolments);
        const end = page.at(-1);
        if (end === undefined) return undefined;
        last = end.enrolmentId;
        const ids = page.map(({ enrolmentId }) => enrolmentId);
        const written = await deps.digests.of(database.sql, gallery, ids);
        const found = await readStoredFaces(store, gallery, page);
        for (const [place, enrolment] of page.entries()) {
          counts.enrolmentsChecked += 1;
          const digest = written.get(enrolment.enrolmentId);
          if (standing(enrolment, found[place] as StoredFaces, digest) === true) continue;
          // Somebody may be writing it: looked at again while nobody can.
          await settled(deps, gallery, enrolment, async (current, stored, known) => {
            const isRight = standing(current, stored, known);
            if (isRight === true) return;
            if (isRight === undefined) noteLost(counts, current);
            else counts.enrolmentsRepaired += 1;
            if (isRight === false && isOtherThan(current, stored, known)) logOther(log, current, mend);
            if (mend) await rewrite(deps, gallery, current, stored, known);
          });
        }
      }
      return last;
    },

    strangers: async (gallery, mend, counts) => {
      const seen = new Set<string>();
      for (const source of ["set", "copy", "names"] as const) {
        for await (const names of galleryNames(store, gallery, source)) {
          const found = new Map<string, EnrolmentName>();
          for (const name of names) {
            const { memberId, enrolmentId } = readElementName(name);
            if (!seen.has(enrolmentId)) found.set(enrolmentId, { memberId, enrolmentId });
          }
          // Read after the store: whoever stands there was in the database before.
          for (const enrolmentId of await enrolments.among(database.sql, gallery, [...found.keys()])) {
            found.delete(enrolmentId);
          }
          const recorded = new Map(
            (await erasures.recorded(database.sql, [...found.keys()])).map((entry) => [entry.enrolmentId, entry]),
          );
          for (const stranger of found.values()) {
            seen.add(stranger.enrolmentId);
            const entry = recorded.get(stranger.enrolmentId);
            if (entry === undefined) counts.unknownRemoved += 1;
            else counts.erasedRemoved += 1;
            log.warn("a face stands in a gallery where it should not", { enrolment_id: stranger.enrolmentId, mend });
            if (!mend) continue;
            const face = { ...stranger, branchIds: [gallery.branchId], createTimeMs: entry?.createTimeMs ?? 0 };
            await faces.deny(face);
            await faces.remove(face, [gallery]);
            await faces.scrub(face);
          }
        }
      }
    },

    changes: async (gallery, mend, counts) => {
      const seen = new Set<string>();
      for await (const change of lastChanges(store, gallery)) {
        if (seen.has(change.enrolmentId)) continue;
        seen.add(change.enrolmentId);
        const [stored] = await readStoredFaces(store, gallery, [change]);
        if (stored === undefined || tells(change, stored)) continue;
        await settled(deps, gallery, change, async (current, now, known) => {
          if (tells(change, now)) return;
          counts.changesRepaired += 1;
          if (mend) await rewrite(deps, gallery, current, now, known);
        });
      }
    },
  };
}

function noteLost(counts: CheckCounts, { enrolmentId }: StoredEnrolment): void {
  counts.enrolmentsLost += 1;
  if (counts.lostEnrolmentIds.length < lostNamedMax) counts.lostEnrolmentIds.push(enrolmentId);
}

function logOther(log: Logger, { enrolmentId }: StoredEnrolment, mend: boolean): void {
  log.warn("other faces of an enrolment stand in a gallery than were written last", {
    enrolment_id: enrolmentId,
    mend,
  });
}

/** Whether faces of an enrolment stand as they should; `undefined`: some are lost. */
function standing(
  enrolment: StoredEnrolment,
  stored: StoredFaces,
  digest: Uint8Array | undefined,
): boolean | undefined {
  const { copies, isWhole } = stored;
  if (copies.length < enrolment.faceCount) return undefined;
  return isWhole && copies.length === enrolment.faceCount && !isOtherThan(enrolment, stored, digest);
}

/** Whether the copies that count are others than were written last. */
function isOtherThan({ faceCount }: StoredEnrolment, { copies }: StoredFaces, digest: Uint8Array | undefined): boolean {
  return isOther(copies.slice(0, faceCount), digest);
}

/** What tells of an enrolment's faces in a gallery, the latest first. */
type FacesChange = Extract<FaceChange, { readonly kind: "put" | "remove" }>;

async function* lastChanges({ client }: RedisStore, gallery: GalleryId): AsyncGenerator<FacesChange> {
  for (let before = "+"; ;) {
    const page = await client.xrevrangeBuffer(changesKey, before, "-", "COUNT", pageChanges);
    for (const [, fields] of page) {
      const change = unpackChange(fields);
      if (change.kind !== "put" && change.kind !== "remove") continue;
      const { branchId, modelId, generation } = change.gallery;
      if (branchId !== gallery.branchId || modelId !== gallery.modelId || generation !== gallery.generation) continue;
      yield change;
    }
    const last = page.at(-1)?.[0];
    if (last === undefined || page.length < pageChanges) return;
    before = `(${last.toString()}`;
  }
}

function tells(change: FacesChange, { copies }: StoredFaces): boolean {
  const told = change.kind === "put" ? change.templates : [];
  return (
    told.length === copies.length &&
    told.every((template, place) => template.every((value, at) => value === copies[place]?.[at]))
  );
}

/** Does `work` with an enrolment while nobody writes its faces; not at all when it is gone, or a write of it was left half done. */
async function settled(
  { database, enrolments, galleries, digests, store }: CheckDeps,
  gallery: GalleryId,
  enrolment: EnrolmentName,
  work: (current: StoredEnrolment, stored: StoredFaces, digest: Uint8Array | undefined) => Promise<void>,
): Promise<void> {
  const { branchId, modelId } = gallery;
  await database.transaction(async (tx) => {
    await galleries.hold(tx, modelId, [branchId]);
    const halfDone = await enrolments.changesAt(tx, modelId, [branchId]);
    if (halfDone.some(({ enrolmentId }) => enrolmentId === enrolment.enrolmentId)) return;
    const current = await enrolments.find(tx, enrolment.enrolmentId);
    const [stored] = await readStoredFaces(store, gallery, [enrolment]);
    const written = await digests.of(tx, gallery, [enrolment.enrolmentId]);
    if (current !== undefined && stored !== undefined) await work(current, stored, written.get(enrolment.enrolmentId));
  });
}

/** Writes an enrolment's faces as its copies have them, and no more than it should have; none where the copies are others than were written last. */
async function rewrite(
  { writer }: CheckDeps,
  gallery: GalleryId,
  enrolment: StoredEnrolment,
  stored: StoredFaces,
  digest: Uint8Array | undefined,
): Promise<void> {
  const templates = isOtherThan(enrolment, stored, digest) ? [] : stored.copies.slice(0, enrolment.faceCount);
  if (templates.length === 0) await writer.remove(enrolment, [gallery]);
  else await writer.put(enrolment, [{ gallery, templates }]);
}
