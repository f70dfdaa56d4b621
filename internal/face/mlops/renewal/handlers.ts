import type { ServiceImpl } from "@connectrpc/connect";
import type { FaceModelService } from "../../../gen/muin/face/v1/face_model_service_pb.ts";
import { orThrow } from "../../../platform/errors/refusal.ts";
import type { Database } from "../../../platform/postgres/database.ts";
import { afterOf, pageTokenOf } from "../../../platform/resource/page-token.ts";
import type { GalleryStore } from "../gallery/store.ts";
import { toGallery } from "../model/message.ts";
import type { RenewalRules } from "./rules.ts";

/** Renews templates, a part each call. */
export function createRenewalHandlers(deps: {
  readonly rules: RenewalRules;
  readonly database: Pick<Database, "sql">;
  readonly galleries: Pick<GalleryStore, "list">;
}): Pick<ServiceImpl<typeof FaceModelService>, "renewTemplates"> {
  const { rules, database, galleries } = deps;
  return {
    renewTemplates: async ({ branchId, modelId, generation, pageToken }, { signal }) => {
      const query = ["renewTemplates", branchId, modelId, generation];
      const named = { branchId, modelId, generation };
      const { after } = orThrow(await rules.renew(named, afterOf(query, pageToken), signal));
      const [gallery] = await galleries.list(database.sql, branchId, [modelId]);
      if (gallery === undefined) throw new Error("a gallery that was renewed is gone");
      return { gallery: toGallery(gallery), nextPageToken: after === "" ? "" : pageTokenOf(query, after) };
    },
  };
}
