import { clone, create } from "@bufbuild/protobuf";
import { timestampDate, timestampFromDate } from "@bufbuild/protobuf/wkt";
import { OwnerSchema, type Owner } from "../../gen/muin/identity/v1/owner_service_pb.ts";
import type { Clock } from "../../platform/clock/clock.ts";
import type { Caller } from "../../platform/identity/caller.ts";
import type { Database, Sql } from "../../platform/postgres/database.ts";
import { personIdOf } from "../../platform/resource/caller-scopes.ts";
import { etagOf } from "../../platform/resource/etag.ts";
import { applyUpdate } from "../../platform/resource/update-mask.ts";
import { checkStatus, managesAll, seesAll } from "./branch-access.ts";
import { checkEtag } from "./branch.ts";
import { branchOwnerErrors } from "./errors.ts";
import { statusOf } from "./store-postgres.ts";

/** What may be said of an owner. */
const contentFields = ["company_name", "contact_email", "contact_phone_number"] as const;

/** People who own branches. */
export interface Owners {
  /** Makes a person an owner. */
  register(caller: Caller, given: Owner): Promise<Owner>;
  get(caller: Caller, userId: string): Promise<Owner>;
  /** Changes what the mask says (AIP-134). */
  update(caller: Caller, given: Owner, mask: readonly string[] | undefined): Promise<Owner>;
  /** Owners after the id `after`, in the order of their ids; deleted people are none. */
  list(caller: Caller, after: string, limit: number): Promise<readonly Owner[]>;
}

interface OwnerRow {
  readonly user_id: string;
  readonly display_name: string;
  readonly company_name: string;
  readonly contact_email: string;
  readonly contact_phone_number: string;
  readonly version: string;
  readonly create_time: Date;
  readonly update_time: Date;
}

/** Makes the rules. */
export function createOwners({ database, clock }: { readonly database: Database; readonly clock: Clock }): Owners {
  /** Refuses who may not, before anything is said about the owner. */
  const refuseStrangers = async (caller: Caller, userId: string, all: (caller: Caller) => boolean): Promise<void> => {
    checkStatus(await statusOf(database.sql, personIdOf(caller)));
    if (!all(caller) && personIdOf(caller) !== userId) throw branchOwnerErrors.ownerForbidden();
  };

  return {
    register: async (caller, given) => {
      checkStatus(await statusOf(database.sql, personIdOf(caller)));
      const owner = create(OwnerSchema, { userId: given.userId });
      applyUpdate(OwnerSchema, owner, given, { mask: ["*"], allowed: contentFields });
      const now = new Date(clock.now());
      await database.transaction(async (tx) => {
        const people = await tx`
          SELECT FROM people WHERE user_id = ${owner.userId} AND status <> 'DELETED' FOR SHARE`;
        if (people.length === 0) throw branchOwnerErrors.userNotFound({ user_id: owner.userId });
        const { count } = await tx`
          INSERT INTO owners (user_id, company_name, contact_email, contact_phone_number, version, create_time, update_time)
          VALUES (${owner.userId}, ${owner.companyName}, ${owner.contactEmail}, ${owner.contactPhoneNumber}, 1, ${now}, ${now})
          ON CONFLICT DO NOTHING`;
        if (count === 0) throw branchOwnerErrors.ownerExists({ user_id: owner.userId });
      });
      return read(database.sql, owner.userId);
    },

    get: async (caller, userId) => {
      await refuseStrangers(caller, userId, seesAll);
      return read(database.sql, userId);
    },

    update: async (caller, given, mask) => {
      const { userId } = given;
      await refuseStrangers(caller, userId, managesAll);
      return database.transaction(async (tx) => {
        await tx`SELECT FROM owners WHERE user_id = ${userId} FOR UPDATE`;
        const present = await read(tx, userId);
        checkEtag(`owner ${userId}`, given.etag, versionOf(present));
        const owner = clone(OwnerSchema, present);
        applyUpdate(OwnerSchema, owner, given, { mask, allowed: contentFields });
        owner.etag = etagOf(versionOf(present) + 1);
        owner.updateTime = timestampFromDate(new Date(clock.now()));
        await tx`
          UPDATE owners SET company_name = ${owner.companyName}, contact_email = ${owner.contactEmail},
            contact_phone_number = ${owner.contactPhoneNumber}, version = version + 1,
            update_time = ${timestampDate(owner.updateTime)}
          WHERE user_id = ${userId}`;
        return owner;
      });
    },

    list: async (caller, after, limit) => {
      checkStatus(await statusOf(database.sql, personIdOf(caller)));
      const rows = await database.sql<OwnerRow[]>`
        SELECT owners.*, display_name FROM owners JOIN people USING (user_id)
        WHERE user_id > ${after} AND status <> 'DELETED' ORDER BY user_id LIMIT ${limit}`;
      return rows.map(toOwner);
    },
  };
}

async function read(sql: Sql, userId: string): Promise<Owner> {
  const owner = await findOwner(sql, userId);
  if (owner === undefined) throw branchOwnerErrors.ownerNotFound({ user_id: userId });
  return owner;
}

/** The owner of this id; deleted people are none. */
export async function findOwner(sql: Sql, userId: string): Promise<Owner | undefined> {
  const [row] = await sql<OwnerRow[]>`
    SELECT owners.*, display_name FROM owners JOIN people USING (user_id)
    WHERE user_id = ${userId} AND status <> 'DELETED'`;
  return row && toOwner(row);
}

function toOwner(row: OwnerRow): Owner {
  return create(OwnerSchema, {
    userId: row.user_id,
    displayName: row.display_name,
    companyName: row.company_name,
    contactEmail: row.contact_email,
    contactPhoneNumber: row.contact_phone_number,
    etag: etagOf(Number(row.version)),
    createTime: timestampFromDate(row.create_time),
    updateTime: timestampFromDate(row.update_time),
  });
}

function versionOf({ etag }: Owner): number {
  return Number(etag.slice(1));
}
