import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { ServiceImpl } from "@connectrpc/connect";
import type { PersonKeyService } from "../../../gen/muin/identity/v1/person_key_service_pb.ts";
import { clientOf } from "../audit/client.ts";
import { orThrow } from "../../../platform/errors/refusal.ts";
import type { PersonKeys } from "./rules.ts";

/** Serves people's keys. */
export function createPersonKeyHandlers(personKeys: PersonKeys): ServiceImpl<typeof PersonKeyService> {
  return {
    getPersonKeys: async (request, context) => ({
      personKeys: (await personKeys.handOut(request.personIds, clientOf(context))).map(
        ({ personId, key, destroyed }) => ({
          personId,
          key: key ?? new Uint8Array(),
          destroyed,
        }),
      ),
    }),
    destroyPersonKey: async ({ personId }, context) => {
      const { destroyTimeMs } = orThrow(await personKeys.destroy(personId, clientOf(context)));
      return { destroyTime: timestampFromMs(destroyTimeMs) };
    },
  };
}
