import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { ServiceImpl } from "@connectrpc/connect";
import type { AuthService, RevocationSchema } from "../../../gen/muin/identity/v1/auth_service_pb.ts";
import type { LateRevocations, Revocation } from "./rules.ts";

/** Serves what ended before its time to processes that may have missed it. */
export function createRevocationHandlers(
  revocations: Pick<LateRevocations, "list">,
): Pick<ServiceImpl<typeof AuthService>, "listRevocations"> {
  return {
    listRevocations: async (request) => {
      const { page, nextPageToken } = await revocations.list(request);
      return { revocations: page.map(messageOf), nextPageToken };
    },
  };
}

const cases = { sessions: "sessionId", devices: "deviceId", services: "serviceName", passes: "entryPassId" } as const;

function messageOf({ kind, id, timeMs, expireTimeMs }: Revocation): MessageInitShape<typeof RevocationSchema> {
  return {
    subject: { case: cases[kind], value: id },
    time: timestampFromMs(timeMs),
    ...(expireTimeMs === undefined ? {} : { expireTime: timestampFromMs(expireTimeMs) }),
  };
}
