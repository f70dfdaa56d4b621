import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { OwnerSchema, type Owner } from "../../../gen/muin/identity/v1/owner_service_pb.ts";
import { etagOf } from "../../../platform/resource/etag.ts";
import type { StoredOwner } from "./store.ts";

/** An owner as callers see them. */
export function toOwner({ version, createTimeMs, updateTimeMs, ...content }: StoredOwner): Owner {
  return create(OwnerSchema, {
    ...content,
    etag: etagOf(version),
    createTime: timestampFromMs(createTimeMs),
    updateTime: timestampFromMs(updateTimeMs),
  });
}
