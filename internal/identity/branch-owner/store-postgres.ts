import { create, fromBinary, fromJson, toBinary, toJson, type JsonValue } from "@bufbuild/protobuf";
import {
  BranchSchema,
  StaffMemberSchema,
  StaffRole,
  type Branch,
  type StaffMember,
} from "../../gen/muin/identity/v1/branch_pb.ts";
import { BranchCreatedSchema, BranchUpdatedSchema } from "../../gen/muin/identity/v1/branch_events_pb.ts";
import type { Clock } from "../../platform/clock/clock.ts";
import type { Random } from "../../platform/clock/random.ts";
import type { Caller } from "../../platform/identity/caller.ts";
import type { Database, Json, Sql, Transaction } from "../../platform/postgres/database.ts";
import { personIdOf } from "../../platform/resource/caller-scopes.ts";
import { resourceErrors } from "../../platform/resource/errors.ts";
import { republishAll } from "../../platform/resource/republish.ts";
import {
  checkAccess,
  checkStatus,
  managesAll,
  seesAll,
  type BranchAction,
  type PersonStatus,
  type StaffRoleName,
} from "./branch-access.ts";
import { checkEtag, toBranch, type BranchRecord, type BranchStateName } from "./branch.ts";
import { branchOwnerErrors } from "./errors.ts";
import { announceBranch, type BranchPublish } from "./events.ts";

/** A branch that is to be created, and the request that asked for it. */
export interface BranchCreation {
  readonly ownerId: string;
  readonly content: Branch;
  /** Empty: the request is not remembered. */
  readonly requestId: string;
}

/** Which branches to list. */
export interface BranchQuery {
  /** Empty fields do not restrict. */
  readonly ownerId: string;
  readonly state: BranchStateName | undefined;
  readonly facility: string;
  readonly countryCode: string;
  readonly locality: string;
}

/** Which branch to change, what for, and the etag that it must have; empty for whatever it is. */
export interface ChangeTarget {
  readonly branchId: string;
  readonly action: BranchAction;
  readonly etag: string;
}

/** What a change makes of a branch; `undefined`: nothing changes. */
export type BranchChange = (
  tx: Transaction,
  record: BranchRecord,
) => Promise<Pick<BranchRecord, "ownerId" | "state" | "content"> | undefined>;

/** Branches and their staff. */
export interface BranchStore {
  /** Creates a branch, with BranchCreated. A repeated request gets the first reply. */
  create(caller: Caller, creation: BranchCreation): Promise<Branch>;
  /** The branch, if the caller may do the action; else PERMISSION_DENIED, or NOT_FOUND for who may do it with all. */
  get(caller: Caller, branchId: string, action: BranchAction): Promise<BranchRecord>;
  /** Branches that the caller may see after the id `after`, in the order of their ids. */
  list(caller: Caller, query: BranchQuery, after: string, limit: number): Promise<readonly BranchRecord[]>;
  /**
   * Changes a branch or its staff, with BranchUpdated, in one transaction with its row locked. `lockFirst` locks what has to be
   * locked before the branch: people and owners.
   */
  change(
    caller: Caller,
    target: ChangeTarget,
    change: BranchChange,
    lockFirst?: (tx: Transaction) => Promise<void>,
  ): Promise<BranchRecord>;
  /** Gives a branch to another owner, who is no longer among its staff. */
  transfer(caller: Caller, target: ChangeTarget, ownerId: string): Promise<BranchRecord>;
  /** Saves a locked branch as changed and records BranchUpdated. */
  save(tx: Transaction, record: BranchRecord): Promise<BranchRecord>;
  /** Locks the branches that a person owns or works for, in the order of their ids. */
  lockOf(tx: Transaction, userId: string): Promise<readonly BranchRecord[]>;
  /** Records the whole state of every branch again, at its version. Returns how many. */
  republish(): Promise<number>;
  /** Forgets requests whose time is over. */
  forgetRequests(): Promise<void>;
}

/** Branches that are announced again in one transaction. */
const republishPage = 200;
/** Requests forgotten by one statement. */
const forgetMax = 1000;

interface BranchRow {
  readonly branch_id: string;
  readonly owner_id: string;
  readonly state: BranchStateName;
  readonly content: JsonValue;
  readonly version: string;
  readonly create_time: Date;
  readonly update_time: Date;
}

/** The store in PostgreSQL. Locks are taken in one order: a person, an owner, branches by their ids. */
export function createPostgresBranchStore(deps: {
  readonly database: Database;
  readonly publish: BranchPublish;
  readonly clock: Clock;
  readonly random: Random;
  readonly config: { readonly requestIdWindowMs: number; readonly branchesPerOwnerMax: number };
}): BranchStore {
  const { database, publish, clock, random, config } = deps;

  const save = async (tx: Transaction, changed: BranchRecord): Promise<BranchRecord> => {
    const record = { ...changed, version: changed.version + 1, updateTimeMs: clock.now() };
    await tx`
      UPDATE branches SET owner_id = ${record.ownerId}, state = ${record.state},
        content = ${tx.json(contentJson(record))}, version = ${record.version},
        update_time = ${new Date(record.updateTimeMs)}
      WHERE branch_id = ${record.branchId}`;
    await announceBranch(tx, publish, BranchUpdatedSchema, record, await staffOf(tx, record.branchId));
    return record;
  };

  /** Throws when the owner, locked, has as many branches as one may have. */
  const refuseMore = async (tx: Transaction, ownerId: string): Promise<void> => {
    const [counted] = await tx<{ count: number }[]>`
      SELECT count(*)::int AS count FROM branches WHERE owner_id = ${ownerId}`;
    if ((counted?.count ?? 0) >= config.branchesPerOwnerMax)
      throw branchOwnerErrors.tooManyBranches({ branches_max: `${config.branchesPerOwnerMax}` });
  };

  const insert = async (
    tx: Transaction,
    caller: Caller,
    { ownerId, content }: BranchCreation,
  ): Promise<BranchRecord> => {
    await lockOwner(tx, ownerId);
    if (!(await isOwner(tx, ownerId))) {
      throw managesAll(caller) ? branchOwnerErrors.ownerMissing({ user_id: ownerId }) : branchOwnerErrors.notAnOwner();
    }
    await refuseMore(tx, ownerId);
    const nowMs = clock.now();
    const times = { createTimeMs: nowMs, updateTimeMs: nowMs };
    const record: BranchRecord = { branchId: random.uuid(), ownerId, state: "ACTIVE", content, version: 1, ...times };
    await tx`
      INSERT INTO branches (branch_id, owner_id, state, content, version, create_time, update_time)
      VALUES (${record.branchId}, ${ownerId}, ${record.state}, ${tx.json(contentJson(record))}, ${record.version},
        ${new Date(nowMs)}, ${new Date(nowMs)})`;
    await announceBranch(tx, publish, BranchCreatedSchema, record, []);
    return record;
  };

  const change: BranchStore["change"] = (caller, { branchId, action, etag }, decide, lockFirst) =>
    database.transaction(async (tx) => {
      await lockFirst?.(tx);
      const record = await find(tx, caller, { branchId, action, locked: true });
      checkEtag(`branch ${branchId}`, etag, record.version);
      const changed = await decide(tx, record);
      return changed === undefined ? record : save(tx, { ...record, ...changed });
    });

  return {
    save,

    create: (caller, creation) =>
      database.transaction(async (tx) => {
        checkStatus(await statusOf(tx, personIdOf(caller)));
        const { requestId, ownerId, content } = creation;
        if (requestId === "") return toBranch(await insert(tx, caller, creation));
        const { principal } = caller;
        const hash = new Bun.CryptoHasher("sha256").update(`${ownerId}\0`).update(toBinary(BranchSchema, content));
        const fingerprint = new Uint8Array(hash.digest());
        // One at a time: who repeats a request under way waits for its outcome.
        await tx`SELECT pg_advisory_xact_lock(hashtextextended(${`${principal} ${requestId}`}, 0))`;
        const now = new Date(clock.now());
        const [known] = await tx<{ fingerprint: Uint8Array; response: Uint8Array }[]>`
          SELECT fingerprint, response FROM request_memory
          WHERE principal = ${principal} AND request_id = ${requestId} AND expire_time > ${now}`;
        if (known !== undefined) {
          if (!Buffer.from(known.fingerprint).equals(fingerprint)) {
            throw resourceErrors.requestIdReused({
              violations: [{ field: "request_id", description: "was used for another request" }],
            });
          }
          return fromBinary(BranchSchema, known.response);
        }
        const branch = toBranch(await insert(tx, caller, creation));
        await tx`
          INSERT INTO request_memory (principal, request_id, fingerprint, response, expire_time)
          VALUES (${principal}, ${requestId}, ${fingerprint}, ${toBinary(BranchSchema, branch)},
            ${new Date(now.getTime() + config.requestIdWindowMs)})
          ON CONFLICT (principal, request_id) DO UPDATE SET fingerprint = excluded.fingerprint,
            response = excluded.response, expire_time = excluded.expire_time`;
        return branch;
      }),

    get: (caller, branchId, action) => find(database.sql, caller, { branchId, action, locked: false }),

    list: async (caller, query, after, limit) => {
      const { sql } = database;
      const personId = personIdOf(caller);
      checkStatus(await statusOf(sql, personId));
      const rows = await sql<BranchRow[]>`
        SELECT * FROM branches WHERE branch_id > ${after}
          ${seesAll(caller) ? sql`` : sql`AND (owner_id = ${personId} OR branch_id IN (SELECT branch_id FROM staff WHERE user_id = ${personId}))`}
          ${query.ownerId === "" ? sql`` : sql`AND owner_id = ${query.ownerId}`}
          ${query.state === undefined ? sql`` : sql`AND state = ${query.state}`}
          ${query.facility === "" ? sql`` : sql`AND content -> 'facilities' @> ${sql.json([query.facility])}`}
          ${query.countryCode === "" ? sql`` : sql`AND content -> 'address' ->> 'countryCode' = ${query.countryCode}`}
          ${query.locality === "" ? sql`` : sql`AND content -> 'address' ->> 'locality' = ${query.locality}`}
        ORDER BY branch_id LIMIT ${limit}`;
      return rows.map(toRecord);
    },

    change,

    transfer: (caller, target, ownerId) =>
      change(
        caller,
        target,
        async (tx, record) => {
          if (record.ownerId === ownerId) return undefined;
          if (!(await isOwner(tx, ownerId))) throw branchOwnerErrors.ownerMissing({ user_id: ownerId });
          await refuseMore(tx, ownerId);
          await tx`DELETE FROM staff WHERE branch_id = ${record.branchId} AND user_id = ${ownerId}`;
          return { ...record, ownerId };
        },
        (tx) => lockOwner(tx, ownerId),
      ),

    lockOf: async (tx, userId) => {
      const rows = await tx<BranchRow[]>`
        SELECT * FROM branches
        WHERE owner_id = ${userId} OR branch_id IN (SELECT branch_id FROM staff WHERE user_id = ${userId})
        ORDER BY branch_id FOR UPDATE`;
      return rows.map(toRecord);
    },

    republish: () =>
      republishAll((after) =>
        database.transaction(async (tx) => {
          // Locked, so that what is announced is the newest. All consumers take BranchCreated, whatever the version.
          const rows = await tx<BranchRow[]>`
            SELECT * FROM branches WHERE branch_id > ${after} ORDER BY branch_id LIMIT ${republishPage} FOR UPDATE`;
          for (const row of rows) {
            await announceBranch(tx, publish, BranchCreatedSchema, toRecord(row), await staffOf(tx, row.branch_id));
          }
          return { last: rows.at(-1)?.branch_id ?? "", recorded: rows.length };
        }),
      ),

    forgetRequests: async () => {
      const now = new Date(clock.now());
      for (let forgotten = forgetMax; forgotten === forgetMax;) {
        ({ count: forgotten } = await database.sql`
          DELETE FROM request_memory WHERE ctid IN (
            SELECT ctid FROM request_memory WHERE expire_time <= ${now} LIMIT ${forgetMax})`);
      }
    },
  };
}

/** Reads the branch as the caller may. */
async function find(
  sql: Sql,
  caller: Caller,
  { branchId, action, locked }: { readonly branchId: string; readonly action: BranchAction; readonly locked: boolean },
): Promise<BranchRecord> {
  const [row] = await sql<BranchRow[]>`
    SELECT * FROM branches WHERE branch_id = ${branchId} ${locked ? sql`FOR UPDATE` : sql``}`;
  // After the lock, so that what was waited for is seen.
  const [known] = await sql<{ status: PersonStatus | null; staff_role: StaffRoleName | null }[]>`
    SELECT (SELECT status FROM people WHERE user_id = ${personIdOf(caller)}) AS status,
      (SELECT role FROM staff WHERE branch_id = ${branchId} AND user_id = ${personIdOf(caller)}) AS staff_role`;
  checkStatus(known?.status ?? undefined);
  checkAccess(caller, row && { ownerId: row.owner_id, staffRole: known?.staff_role ?? undefined }, action);
  if (row === undefined) throw branchOwnerErrors.branchNotFound({ branch_id: branchId });
  return toRecord(row);
}

/** The status of a person; `undefined` when nothing is known of them. */
export async function statusOf(sql: Sql, userId: string): Promise<PersonStatus | undefined> {
  const [person] = await sql<{ status: PersonStatus }[]>`SELECT status FROM people WHERE user_id = ${userId}`;
  return person?.status;
}

/** Until the transaction ends the owner is not deleted, and gets no branch from elsewhere. */
async function lockOwner(tx: Transaction, ownerId: string): Promise<void> {
  await tx`SELECT FROM owners WHERE user_id = ${ownerId} FOR UPDATE`;
}

/** Whether a person owns branches, or may. */
export async function isOwner(sql: Sql, userId: string): Promise<boolean> {
  const owners = await sql`
    SELECT FROM owners JOIN people USING (user_id) WHERE user_id = ${userId} AND status <> 'DELETED'`;
  return owners.length > 0;
}

/** Who works for a branch, in the order of their ids. */
async function staffOf(tx: Transaction, branchId: string): Promise<readonly StaffMember[]> {
  const rows = await tx<{ user_id: string; role: StaffRoleName }[]>`
    SELECT user_id, role FROM staff WHERE branch_id = ${branchId} ORDER BY user_id`;
  return rows.map(({ user_id, role }) => create(StaffMemberSchema, { userId: user_id, role: StaffRole[role] }));
}

function contentJson({ content }: BranchRecord): Json {
  return toJson(BranchSchema, content) as Json;
}

function toRecord(row: BranchRow): BranchRecord {
  return {
    branchId: row.branch_id,
    ownerId: row.owner_id,
    state: row.state,
    content: fromJson(BranchSchema, row.content, { ignoreUnknownFields: true }),
    version: Number(row.version),
    createTimeMs: row.create_time.getTime(),
    updateTimeMs: row.update_time.getTime(),
  };
}
