import { createHash } from "node:crypto";
import { type Client, Code, ConnectError } from "@connectrpc/connect";
import { bulkhead } from "cockatiel";
import type { CountManagementService } from "../../../internal/gen/muin/count/v1/count_management_service_pb.ts";
import { CountState } from "../../../internal/gen/muin/count/v1/count_pb.ts";
import type { Repeat } from "../remote/repeat.ts";
import { reasonOf } from "../terminal/failure.ts";
import { displayNameOf } from "./count-id.ts";
import type { ClaimCount } from "./count-owners.ts";
import { createTogether } from "./create-together.ts";

/** Counts that are looked at, and named, at once. */
const lookingMax = 32;

/** How often a Count without a name is given one while others change it. */
const namingsMax = 5;

const patient = { patient: true };

/** Repeats a call that needs Counts, also while another import is just creating one: until then there is none. */
export function createOnceCreated(repeat: Repeat): <T>(call: () => Promise<T>) => Promise<T> {
  return (call) =>
    repeat(async () => {
      try {
        return await call();
      } catch (error) {
        if (!(error instanceof ConnectError) || reasonOf(error) !== "COUNT_NOT_FOUND") throw error;
        throw new ConnectError(error.rawMessage, Code.Unavailable, undefined, undefined, error);
      }
    }, patient);
}

/**
 * Claims of an import's values in a running Muin: a Count is created with the value as its name; one that there is belongs to the value
 * when it has its name, and is given it when it has none and is not deleted.
 */
export function createServerClaims(
  management: Client<typeof CountManagementService>,
  repeat: Repeat,
): (importId: string) => ClaimCount {
  const onceCreated = createOnceCreated(repeat);
  const create = createTogether(management);
  const looking = bulkhead(lookingMax, Number.POSITIVE_INFINITY);
  const createCount = async (importId: string, countId: string, displayName: string): Promise<boolean> => {
    const requestId = createHash("sha256").update(`${importId}\n${countId}\n${displayName}`).digest("hex").slice(0, 32);
    try {
      await repeat(() => create({ countId, countInfo: { displayName }, requestId }), patient);
      return true;
    } catch (error) {
      if (error instanceof ConnectError && error.code === Code.AlreadyExists) return false;
      throw error;
    }
  };
  const isNamed = async (countId: string, displayName: string): Promise<boolean> => {
    for (let attempt = 1; ; attempt++) {
      const { countInfo } = await onceCreated(() => management.getCountInfo({ countId }));
      const given = countInfo?.displayName ?? "";
      if (given !== "" || countInfo?.state === CountState.DELETED) return given === displayName || given === "";
      try {
        const named = { countId, displayName, etag: countInfo?.etag ?? "" };
        await onceCreated(() => management.updateCount({ countInfo: named, updateMask: { paths: ["display_name"] } }));
        return true;
      } catch (error) {
        // Somebody changed it meanwhile, perhaps this call whose answer was lost: what it is called now decides.
        if (!(error instanceof ConnectError) || error.code !== Code.Aborted || attempt >= namingsMax) throw error;
      }
    }
  };
  return (importId) => async (countId, value) => {
    const name = displayNameOf(value);
    return (await createCount(importId, countId, name)) || (await looking.execute(() => isNamed(countId, name)));
  };
}
