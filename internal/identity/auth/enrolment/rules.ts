import { eventVersion } from "../../../platform/service/event-version.ts";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import type { FaceVectorCreated, FaceVectorErased } from "../../../gen/muin/face/v1/enrolment_events_pb.ts";
import type { Clock } from "../../../platform/clock/clock.ts";
import { isUuid } from "../../../platform/clock/random.ts";
import type { Caller } from "../../../platform/identity/caller.ts";
import type { Database, Transaction } from "../../../platform/postgres/database.ts";
import { hasScope, personIdOf } from "../../../platform/resource/caller-scopes.ts";
import { pageOf } from "../../../platform/resource/page-token.ts";
import type { Delivery } from "../../../platform/service/delivery.ts";
import type { AccountStore } from "../account/store.ts";
import type { Refusal } from "../../../platform/errors/refusal.ts";
import { refuseField } from "../../../platform/resource/errors.ts";
import { refuse } from "../errors.ts";
import { publishFaceEnrolmentRecorded, type AuthPublish } from "../events.ts";
import type { Enrolment, EnrolmentStore } from "./store.ts";

const readScope = "users.read";

/** A page of enrolments, in the order of their ids. */
export interface EnrolmentPage {
  readonly page: readonly Enrolment[];
  /** Empty on the last page. */
  readonly nextPageToken: string;
}

/** Who is enrolled, as mlops tells. An event that is not newer than the record changes nothing; nor does one of an erased person. */
export interface Enrolments {
  /** Records a face that was enrolled or replaced, and that it is recorded. */
  created(event: FaceVectorCreated, delivery: Delivery): Promise<void>;
  /** Records that a face was erased. */
  erased(event: FaceVectorErased, delivery: Delivery): Promise<void>;
  /**
   * Enrolments of a person, erased ones too. An empty `userId` is the caller; without the scope users.read a person sees their own and
   * is refused another's, whether there is such a person or not.
   */
  list(
    caller: Caller,
    request: { readonly userId: string; readonly pageSize: number; readonly pageToken: string },
  ): Promise<EnrolmentPage | Refusal<"fieldInvalid" | "notYours">>;
}

/** Records enrolments in a database. */
export function createEnrolments(deps: {
  readonly database: Database;
  readonly store: EnrolmentStore;
  readonly accounts: Pick<AccountStore, "hold">;
  readonly publish: AuthPublish;
  readonly clock: Clock;
}): Enrolments {
  const { database, store, accounts, publish, clock } = deps;

  /** Does `put` while the account is there, and tells of what that changed. */
  const record = async (userId: string, put: (tx: Transaction) => Promise<Enrolment | undefined>): Promise<void> => {
    await database.transaction(async (tx) => {
      if (!isUuid(userId) || !(await accounts.hold(tx, userId))) return;
      const changed = await put(tx);
      if (changed === undefined) return; // Known already: the version tells a repeat, and no inbox is needed.
      await publishFaceEnrolmentRecorded(tx, publish, changed, changed.version.version, clock.now());
    });
  };

  return {
    created: ({ enrolmentId, memberId: userId, branchIds, modelId, consent, time, aggregateVersion }, delivery) =>
      record(userId, (tx) =>
        store.putEnrolled(tx, {
          enrolmentId,
          userId,
          branchIds,
          modelId,
          consentTextVersion: consent?.textVersion ?? "",
          consentTimeMs: consent?.time && timestampMs(consent.time),
          enrolTimeMs: time && timestampMs(time),
          version: eventVersion(delivery, aggregateVersion),
        }),
      ),

    erased: ({ enrolmentId, memberId: userId, aggregateVersion, time }, delivery) =>
      record(userId, (tx) => {
        const eraseTimeMs = time === undefined ? clock.now() : timestampMs(time);
        return store.putErased(tx, {
          enrolmentId,
          userId,
          eraseTimeMs,
          version: eventVersion(delivery, aggregateVersion),
        });
      }),

    list: async (caller, { userId: asked, ...page }) => {
      const own = personIdOf(caller);
      if (asked === "" && own === "") return refuseField("user_id", "must name a person, since the caller is none");
      const userId = asked === "" ? own : asked;
      if (userId !== own && !hasScope(caller, readScope)) return refuse("notYours", { scope: readScope });
      if (!isUuid(userId)) return { page: [], nextPageToken: "" };
      return pageOf(
        ["ListEnrolmentRecords", userId],
        page,
        (after, limit) => store.list(database.sql, userId, after, limit),
        (enrolment) => enrolment.enrolmentId,
      );
    },
  };
}
