import { fromJson, toJson, type JsonValue } from "@bufbuild/protobuf";
import { BranchSchema } from "../../../gen/muin/identity/v1/branch_pb.ts";
import type { Json } from "../../../platform/postgres/database.ts";
import type { BranchStateName, BranchStore, StoredBranch } from "./store.ts";

interface BranchRow {
  readonly branch_id: string;
  readonly owner_id: string;
  readonly state: BranchStateName;
  readonly content: JsonValue;
  readonly version: string;
  readonly create_time: Date;
  readonly update_time: Date;
}

/** Branches in PostgreSQL. */
export const postgresBranchStore: BranchStore = {
  find: async (sql, branchId) => {
    const [row] = await sql<BranchRow[]>`SELECT * FROM branches WHERE branch_id = ${branchId}`;
    return row && toBranch(row);
  },

  lock: async (tx, branchId) => {
    const [row] = await tx<BranchRow[]>`SELECT * FROM branches WHERE branch_id = ${branchId} FOR UPDATE`;
    return row && toBranch(row);
  },

  list: async (sql, { personId, ownerId, state, facility, countryCode, locality }, after, limit) => {
    const rows = await sql<BranchRow[]>`
      SELECT * FROM branches WHERE branch_id > ${after}
        ${personId === undefined ? sql`` : sql`AND (owner_id = ${personId} OR branch_id IN (SELECT branch_id FROM staff WHERE user_id = ${personId}))`}
        ${ownerId === "" ? sql`` : sql`AND owner_id = ${ownerId}`}
        ${state === undefined ? sql`` : sql`AND state = ${state}`}
        ${facility === "" ? sql`` : sql`AND content -> 'facilities' @> ${sql.json([facility])}`}
        ${countryCode === "" ? sql`` : sql`AND content -> 'address' ->> 'countryCode' = ${countryCode}`}
        ${locality === "" ? sql`` : sql`AND content -> 'address' ->> 'locality' = ${locality}`}
      ORDER BY branch_id LIMIT ${limit}`;
    return rows.map(toBranch);
  },

  lockPage: async (tx, after, limit) => {
    const rows = await tx<BranchRow[]>`
      SELECT * FROM branches WHERE branch_id > ${after} ORDER BY branch_id LIMIT ${limit} FOR UPDATE`;
    return rows.map(toBranch);
  },

  lockOf: async (tx, userId) => {
    const rows = await tx<BranchRow[]>`
      SELECT * FROM branches
      WHERE owner_id = ${userId} OR branch_id IN (SELECT branch_id FROM staff WHERE user_id = ${userId})
      ORDER BY branch_id FOR UPDATE`;
    return rows.map(toBranch);
  },

  idsOfOwner: async (sql, ownerId, limit) => {
    const rows = await sql<{ branch_id: string }[]>`
      SELECT branch_id FROM branches WHERE owner_id = ${ownerId} ORDER BY branch_id LIMIT ${limit}`;
    return rows.map((row) => row.branch_id);
  },

  countOfOwner: async (sql, ownerId) => {
    const [row] = await sql<{ count: number }[]>`
      SELECT count(*)::int AS count FROM branches WHERE owner_id = ${ownerId}`;
    return row?.count ?? 0;
  },

  add: async (tx, branch) => {
    await tx`
      INSERT INTO branches (branch_id, owner_id, state, content, version, create_time, update_time)
      VALUES (${branch.branchId}, ${branch.ownerId}, ${branch.state}, ${tx.json(contentJson(branch))}, ${branch.version},
        ${new Date(branch.createTimeMs)}, ${new Date(branch.updateTimeMs)})`;
  },

  save: async (tx, branch) => {
    await tx`
      UPDATE branches SET owner_id = ${branch.ownerId}, state = ${branch.state},
        content = ${tx.json(contentJson(branch))}, version = ${branch.version},
        update_time = ${new Date(branch.updateTimeMs)}
      WHERE branch_id = ${branch.branchId}`;
  },
};

function contentJson({ content }: StoredBranch): Json {
  return toJson(BranchSchema, content) as Json;
}

function toBranch(row: BranchRow): StoredBranch {
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
