import { getOption, hasOption, type DescMethod } from "@bufbuild/protobuf";
import { CallerKind, policy as policyOption } from "../../../gen/muin/platform/v1/options_pb.ts";

/** Whether services alone may call a method: outside of Muin it does not exist. */
export function isInternal(method: DescMethod): boolean {
  if (!hasOption(method, policyOption)) return false;
  const { public: isPublic, callers } = getOption(method, policyOption);
  return !isPublic && callers.length > 0 && callers.every((kind) => kind === CallerKind.SERVICE);
}
