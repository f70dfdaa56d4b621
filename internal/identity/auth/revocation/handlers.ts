import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { ServiceImpl } from "@connectrpc/connect";
import type { AuthService } from "../../../gen/muin/identity/v1/auth_service_pb.ts";
import type { LateRevocations, Revocation } from "./rules.ts";

/** Serves what ended before its time to processes that may have missed it. */
export function createRevocationHandlers(
  revocations: Pick<LateRevocations, "list">,
): Pick<ServiceImpl<typeof AuthService>, "listRevocations"> {
  return {
    listRevocations: async (request) => {
      const { page, nextPageToken } = await revocations.list(request);
      return {
        revocations: page.map((one) => ({ subject: subjectOf(one), time: timestampFromMs(one.timeMs) })),
        nextPageToken,
      };
    },
  };
}

const cases = { sessions: "sessionId", devices: "deviceId", services: "serviceName" } as const;

function subjectOf({ kind, id }: Revocation) {
  return { case: cases[kind], value: id };
}
