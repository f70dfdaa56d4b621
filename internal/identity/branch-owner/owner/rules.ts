import { create } from "@bufbuild/protobuf";
import { OwnerSchema, type Owner } from "../../../gen/muin/identity/v1/owner_service_pb.ts";
import type { Clock } from "../../../platform/clock/clock.ts";
import type { Refusal } from "../../../platform/errors/refusal.ts";
import type { Caller } from "../../../platform/identity/caller.ts";
import type { Database } from "../../../platform/postgres/database.ts";
import { isWrittenMailbox } from "../../../platform/mail/mailer.ts";
import { personIdOf } from "../../../platform/resource/caller-scopes.ts";
import { fieldsInvalid } from "../../../platform/resource/errors.ts";
import { etagOf, isCurrent } from "../../../platform/resource/etag.ts";
import { applyUpdate } from "../../../platform/resource/update-mask.ts";
import { isBarred, managesAll, seesAll } from "../branch/access.ts";
import { refuse } from "../errors.ts";
import type { PersonStore } from "../person/store.ts";
import { toOwner } from "./message.ts";
import type { OwnerStore, StoredOwner } from "./store.ts";

/** What may be said of an owner. */
const contentFields = ["company_name", "contact_email", "contact_phone_number"] as const;

/** Why it was refused. */
export type OwnerRefusal = Refusal<
  "accountSuspended" | "ownerForbidden" | "ownerNotFound" | "ownerExists" | "userNotFound" | "etagMismatch"
>;

/** People who own branches. Who may not, learns nothing of them. */
export interface OwnerRules {
  /** Makes a person an owner. Whether the caller may is the policy's to say. Throws FIELD_INVALID for what is no e-mail address. */
  register(caller: Caller, given: Owner): Promise<StoredOwner | OwnerRefusal>;
  get(caller: Caller, userId: string): Promise<StoredOwner | OwnerRefusal>;
  /** Changes what the mask says (AIP-134). Throws FIELD_INVALID for a mask that names anything else, and for what is no e-mail address. */
  update(caller: Caller, given: Owner, mask: readonly string[] | undefined): Promise<StoredOwner | OwnerRefusal>;
  /** Owners after the id `after`, in the order of their ids. */
  list(caller: Caller, after: string, limit: number): Promise<readonly StoredOwner[] | OwnerRefusal>;
}

export function createOwnerRules(deps: {
  readonly database: Database;
  readonly owners: Omit<OwnerStore, "erase">;
  readonly people: Pick<PersonStore, "statusOf" | "lock">;
  readonly clock: Pick<Clock, "now">;
}): OwnerRules {
  const { database, owners, people, clock } = deps;
  const { sql } = database;

  return {
    register: (caller, given) => {
      const content = create(OwnerSchema);
      applyUpdate(OwnerSchema, content, given, { mask: ["*"], allowed: contentFields });
      checkContactEmail(content.contactEmail);
      const { userId } = given;
      return database.transaction(async (tx) => {
        if (isBarred(await people.statusOf(tx, personIdOf(caller)))) return refuse("accountSuspended");
        const status = await people.lock(tx, userId);
        if (status === undefined || status === "DELETED") return refuse("userNotFound", { user_id: userId });
        const nowMs = clock.now();
        const { companyName, contactEmail, contactPhoneNumber } = content;
        const said = { companyName, contactEmail, contactPhoneNumber };
        const owner = { userId, ...said, version: 1, createTimeMs: nowMs, updateTimeMs: nowMs };
        if (!(await owners.add(tx, owner))) return refuse("ownerExists", { user_id: userId });
        return (await owners.find(tx, userId)) ?? refuse("ownerNotFound", { user_id: userId });
      });
    },

    get: async (caller, userId) => {
      if (isBarred(await people.statusOf(sql, personIdOf(caller)))) return refuse("accountSuspended");
      if (!seesAll(caller) && personIdOf(caller) !== userId) return refuse("ownerForbidden");
      return (await owners.find(sql, userId)) ?? refuse("ownerNotFound", { user_id: userId });
    },

    update: (caller, given, mask) =>
      database.transaction(async (tx) => {
        const { userId } = given;
        if (isBarred(await people.statusOf(tx, personIdOf(caller)))) return refuse("accountSuspended");
        if (!managesAll(caller) && personIdOf(caller) !== userId) return refuse("ownerForbidden");
        const before = await owners.lock(tx, userId);
        if (before === undefined) return refuse("ownerNotFound", { user_id: userId });
        if (!isCurrent(given.etag, etagOf(before.version)))
          return refuse("etagMismatch", { resource: `owner ${userId}` });
        const content = toOwner(before);
        applyUpdate(OwnerSchema, content, given, { mask, allowed: contentFields });
        // One from before it was judged stays until it is changed.
        if (content.contactEmail !== before.contactEmail) checkContactEmail(content.contactEmail);
        const { companyName, contactEmail, contactPhoneNumber } = content;
        const said = { companyName, contactEmail, contactPhoneNumber };
        if (Bun.deepEquals({ ...before, ...said }, before)) return before;
        const after = { ...before, ...said, version: before.version + 1, updateTimeMs: clock.now() };
        await owners.save(tx, after);
        return after;
      }),

    list: async (caller, after, limit) => {
      if (isBarred(await people.statusOf(sql, personIdOf(caller)))) return refuse("accountSuspended");
      return owners.list(sql, after, limit);
    },
  };
}

function checkContactEmail(contactEmail: string): void {
  if (contactEmail === "" || isWrittenMailbox(contactEmail)) return;
  const description = "must be an e-mail address such as office@example.org";
  throw fieldsInvalid([{ field: "owner.contact_email", description }]);
}
