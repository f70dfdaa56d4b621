import { create } from "@bufbuild/protobuf";
import { anyPack } from "@bufbuild/protobuf/wkt";
import { StatusSchema, type Status } from "../../../gen/google/rpc/status_pb.ts";
import { createErrorMapper, errorDomain } from "./map-error.ts";

const mapper = createErrorMapper(errorDomain);

/**
 * An error as one item of a reply carries it: what the whole call would have been answered with. `hidden` is what must be logged, since the
 * caller is not told it; `undefined` when the caller learns everything.
 */
export function itemStatusOf(thrown: unknown): { readonly status: Status; readonly hidden: unknown } {
  const { error, hidden } = mapper.map(thrown);
  const status = create(StatusSchema, {
    code: error.code,
    message: error.rawMessage,
    details: error.details.flatMap((detail) =>
      "desc" in detail ? [anyPack(detail.desc, create(detail.desc, detail.value))] : [],
    ),
  });
  return { status, hidden };
}
