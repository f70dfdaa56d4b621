import type { ServiceImpl } from "@connectrpc/connect";
import type { FaceModelService } from "../../../gen/muin/face/v1/face_model_service_pb.ts";
import type { Database } from "../../../platform/postgres/database.ts";
import { afterOf, pageTokenOf } from "../../../platform/resource/page-token.ts";
import type { GalleryStore, StoredGallery } from "../gallery/store.ts";
import { noCounts, type FaceCheck } from "./rules.ts";

/** Where a check goes on: at a part of a gallery. */
interface Place {
  readonly branchId: string;
  readonly modelId: string;
  /** "done": the next gallery is to be checked. */
  readonly part: "enrolments" | "store" | "done";
  /** The enrolment that was compared last; empty for none. */
  readonly after: string;
}

/** Checks faces, a part of a gallery each call. */
export function createCheckHandlers(deps: {
  readonly check: FaceCheck;
  readonly database: Pick<Database, "sql">;
  readonly galleries: Pick<GalleryStore, "of" | "atBranches" | "page">;
}): Pick<ServiceImpl<typeof FaceModelService>, "checkFaces"> {
  const { check, database, galleries } = deps;
  const { sql } = database;

  /** The first gallery after one; `undefined`: the first of all. */
  const galleryAfter = async (branchId: string, before: Place | undefined): Promise<StoredGallery | undefined> => {
    if (branchId === "") return (await galleries.page(sql, before, 1))[0];
    const all = await galleries.atBranches(sql, [branchId]);
    return all.find(({ modelId }) => before === undefined || modelId > before.modelId);
  };

  return {
    checkFaces: async ({ branchId, mend, pageToken }) => {
      const query = ["checkFaces", branchId, mend];
      const text = afterOf(query, pageToken, (made) => readPlace(made) !== undefined);
      const place = text === "" ? undefined : readPlace(text);
      const isDone = place === undefined || place.part === "done";
      const gallery = isDone
        ? await galleryAfter(branchId, place)
        : (await galleries.of(sql, place.modelId, [place.branchId]))[0];
      if (gallery === undefined) return { checks: [], nextPageToken: "" };
      const counts = noCounts();
      let next: Place = { ...gallery, part: "done", after: "" };
      if (isDone || place.part === "enrolments") {
        const after = await check.enrolments(gallery, isDone ? "" : place.after, mend, counts);
        next = { ...gallery, part: after === undefined ? "store" : "enrolments", after: after ?? "" };
      } else {
        await check.strangers(gallery, mend, counts);
        await check.changes(gallery, mend, counts);
      }
      const { modelId, generation } = gallery;
      return {
        checks: [
          {
            branchId: gallery.branchId,
            modelId,
            generation,
            ...counts,
            enrolmentsChecked: BigInt(counts.enrolmentsChecked),
            enrolmentsRepaired: BigInt(counts.enrolmentsRepaired),
            enrolmentsLost: BigInt(counts.enrolmentsLost),
            erasedRemoved: BigInt(counts.erasedRemoved),
            unknownRemoved: BigInt(counts.unknownRemoved),
            changesRepaired: BigInt(counts.changesRepaired),
          },
        ],
        nextPageToken: pageTokenOf(query, writePlace(next)),
      };
    },
  };
}

function writePlace({ branchId, modelId, part, after }: Place): string {
  return [branchId, modelId, part, after].map(encodeURIComponent).join("/");
}

function readPlace(text: string): Place | undefined {
  const [branchId, modelId, part, after, ...more] = text.split("/").map((each) => {
    try {
      return decodeURIComponent(each);
    } catch {
      return undefined; // Made up.
    }
  });
  if (branchId === undefined || modelId === undefined || after === undefined || more.length > 0) return undefined;
  return part === "enrolments" || part === "store" || part === "done" ? { branchId, modelId, part, after } : undefined;
}
