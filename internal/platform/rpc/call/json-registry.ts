import { createRegistry, type DescService, type Registry } from "@bufbuild/protobuf";
import { file_google_rpc_error_details } from "../../../gen/google/rpc/error_details_pb.ts";

/** The message types that may stand in a google.protobuf.Any of a reply or an error: without them it has no JSON. */
export function createJsonRegistry(services: readonly DescService[]): Registry {
  return createRegistry(file_google_rpc_error_details, ...new Set(services.map(({ file }) => file)));
}
