import { create, type Message } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { catalog } from "../catalog.ts";
import { onInfoEvent } from "../count/read/events.ts";
import { createInfoCache } from "../count/read/info/cache.ts";
import { CountInfoSchema } from "../gen/muin/count/v1/count_pb.ts";
import { CountUpdatedSchema } from "../gen/muin/count/v1/count_info_events_pb.ts";
import { CountsChangedSchema } from "../gen/muin/count/v1/count_value_events_pb.ts";
import { startAccess } from "../face/access/access-fixture.ts";
import { startMlops } from "../face/mlops/mlops-fixture.ts";
import { FaceVectorCreatedSchema, FaceVectorErasedSchema } from "../gen/muin/face/v1/enrolment_events_pb.ts";
import { BranchCreatedSchema, BranchUpdatedSchema } from "../gen/muin/identity/v1/branch_events_pb.ts";
import { UserStatusChangedSchema, UserUpdatedSchema } from "../gen/muin/identity/v1/user_events_pb.ts";
import { Role, UserStatus } from "../gen/muin/identity/v1/user_pb.ts";
import { startAuth } from "../identity/auth/auth-fixture.ts";
import { startBranchOwner } from "../identity/branch-owner/branch-owner-fixture.ts";
import { startUser } from "../identity/user/user-fixture.ts";
import { systemClock } from "../platform/clock/clock.ts";
import type { Sql } from "../platform/postgres/database.ts";
import type { OpenRedis } from "../platform/redis/open-redis.ts";
import type { ServiceInfo } from "../platform/service/define-service.ts";
import { caught, importMutant } from "../platform/testing/mutant.ts";
import { startRedis } from "../platform/testing/redis.ts";
import { startService } from "../platform/testing/service.ts";

setDefaultTimeout(60_000);

/** What an event says of its aggregate: one of two things. */
type Mark = "one" | "other";

/** A consumer of one aggregate's events. */
interface Consumer extends AsyncDisposable {
  tell(mark: Mark, epoch: number, version: bigint): Promise<void>;
  /** What the consumer believes. */
  state(): Promise<Mark>;
}

/** How a consumer is started, whole or with the mutant's definition, and where it compares. */
interface Row {
  readonly start: (definition?: ServiceInfo) => Promise<Consumer>;
  readonly compares: readonly [file: string, from: string, to: string];
}

/** The order of epochs and versions, whatever is told of. */
async function check(consumer: Consumer): Promise<void> {
  const told = async (mark: Mark, epoch: number, version: bigint): Promise<Mark> => {
    await consumer.tell(mark, epoch, version);
    return consumer.state();
  };
  expect(await told("one", 0, 5n)).toBe("one");
  expect(await told("other", 0, 4n)).toBe("one");
  expect(await told("other", 1, 1n)).toBe("other"); // A lower version of a later epoch wins.
  expect(await told("one", 0, 9n)).toBe("other"); // A higher version of an older epoch is ignored.
  expect(await told("one", 1, 1n)).toBe("other");
  expect(await told("one", 1, 2n)).toBe("one");
}

/** Every consumption of events that carry a version, with how the consumer is asked. */
const rows: Readonly<Record<string, Row>> = {
  "auth UserUpdated": authRow(
    (userId, mark, aggregateVersion) =>
      create(UserUpdatedSchema, {
        userId,
        roleAssignments: [{ role: Role.OWNER, branchId: mark }],
        aggregateVersion,
      }),
    (sql, userId) => sql`SELECT branch_id AS mark FROM role_assignments WHERE user_id = ${userId} AND branch_id <> ''`,
    [
      "account/store-postgres.ts",
      "(roles_epoch, roles_version) < (${epoch}, ${version.toString()})",
      "roles_version < ${version.toString()}",
    ],
  ),
  "auth UserStatusChanged": authRow(
    (userId, mark, aggregateVersion) =>
      create(UserStatusChangedSchema, { userId, status: statusOf(mark), aggregateVersion }),
    (sql, userId) =>
      sql`SELECT CASE status WHEN 'ACTIVE' THEN 'one' ELSE 'other' END AS mark FROM accounts WHERE user_id = ${userId}`,
    [
      "account/person.ts",
      "!isNewer(version, account.statusVersion)",
      "version.version <= account.statusVersion.version",
    ],
  ),
  "auth BranchCreated": branchRow((branchId, ownerId, aggregateVersion) =>
    create(BranchCreatedSchema, { branchId, branch: { branchId, ownerId }, aggregateVersion }),
  ),
  "auth BranchUpdated": branchRow((branchId, ownerId, aggregateVersion) =>
    create(BranchUpdatedSchema, { branchId, branch: { branchId, ownerId }, aggregateVersion }),
  ),
  "auth FaceVectorCreated": authRow(
    (memberId, modelId, aggregateVersion) =>
      create(FaceVectorCreatedSchema, { enrolmentId: "e1", memberId, modelId, aggregateVersion }),
    (sql) => sql`SELECT model_id AS mark FROM enrolments`,
    [
      "enrolment/store-postgres.ts",
      "        epoch = excluded.epoch, version = excluded.version\n      WHERE (e.epoch, e.version) < (excluded.epoch, excluded.version)",
      "        epoch = excluded.epoch, version = excluded.version WHERE e.version < excluded.version",
    ],
  ),
  "auth FaceVectorErased": authRow(
    (memberId, mark, aggregateVersion) =>
      create(FaceVectorErasedSchema, {
        enrolmentId: "e1",
        memberId,
        time: timestampFromMs(mark === "one" ? 1000 : 2000),
        aggregateVersion,
      }),
    (sql) => sql`SELECT CASE extract(epoch FROM erase_time) WHEN 1 THEN 'one' ELSE 'other' END AS mark FROM enrolments`,
    [
      "enrolment/store-postgres.ts",
      "excluded.erase_time, epoch = excluded.epoch, version = excluded.version\n      WHERE (e.epoch, e.version) < (excluded.epoch, excluded.version)",
      "excluded.erase_time, epoch = excluded.epoch, version = excluded.version WHERE e.version < excluded.version",
    ],
  ),
  "user UserCreated": {
    start: async (from) => {
      const user = await startUser(from === undefined ? {} : { from });
      const person = user.auth.newcomer();
      return {
        tell: (mark, epoch, version) =>
          user.deliver(user.auth.created(person, { email: `${mark}@example.org`, version }), undefined, epoch),
        state: () => markIn(user.database.sql`SELECT split_part(email, '@', 1) AS mark FROM users`),
        [Symbol.asyncDispose]: () => user[Symbol.asyncDispose](),
      };
    },
    compares: [
      "identity/user/person/store-postgres.ts",
      "(account_epoch, account_version) < (${epoch}, ${version.toString()})",
      "account_version < ${version.toString()}",
    ],
  },
  "branch-owner UserUpdated": branchOwnerRow(
    (on, userId, mark, version, epoch) => on.deliver(on.updated(userId, mark, version), undefined, epoch),
    (sql) => sql`SELECT display_name AS mark FROM people`,
    "(p.profile_epoch, p.profile_version) < (excluded.profile_epoch, excluded.profile_version)",
    "p.profile_version < excluded.profile_version",
  ),
  "branch-owner UserStatusChanged": branchOwnerRow(
    (on, userId, mark, aggregateVersion, epoch) =>
      on.deliver(
        create(UserStatusChangedSchema, { userId, status: statusOf(mark), aggregateVersion }),
        undefined,
        epoch,
      ),
    (sql) => sql`SELECT CASE status WHEN 'ACTIVE' THEN 'one' ELSE 'other' END AS mark FROM people`,
    "(p.status_epoch, p.status_version) < (excluded.status_epoch, excluded.status_version)",
    "p.status_version < excluded.status_version",
  ),
  "mlops UserStatusChanged": mlopsRow(
    (userId, mark, aggregateVersion) =>
      create(UserStatusChangedSchema, { userId, status: statusOf(mark), aggregateVersion }),
    (sql) => sql`SELECT CASE status WHEN 'ACTIVE' THEN 'one' ELSE 'other' END AS mark FROM people`,
    [
      "person/store-postgres.ts",
      "(p.status_epoch, p.status_version) < (excluded.status_epoch, excluded.status_version)",
      "p.status_version < excluded.status_version",
    ],
  ),
  ...Object.fromEntries(
    [BranchCreatedSchema, BranchUpdatedSchema].map((schema) => [
      `mlops ${schema.name}`,
      mlopsRow(
        (branchId, ownerId, aggregateVersion) =>
          create(schema, { branchId, branch: { branchId, ownerId }, aggregateVersion }),
        (sql) => sql`SELECT owner_id AS mark FROM branches`,
        [
          "branch/store-postgres.ts",
          "(b.epoch, b.version) < (excluded.epoch, excluded.version)",
          "b.version < excluded.version",
        ],
      ),
    ]),
  ),
  "access UserUpdated": accessRow(
    (userId, mark, aggregateVersion) =>
      create(UserUpdatedSchema, { userId, membership: { plan: mark }, aggregateVersion }),
    (client, userId) => client.getBuffer(`{face}:d:member:${userId}`),
    "if not is_newer(epoch, version, tonumber(epoch_kept), tonumber(version_kept)) then return end",
    "if version <= tonumber(version_kept) then return end",
  ),
  "access UserStatusChanged": accessRow(
    (userId, mark, aggregateVersion) =>
      create(UserStatusChangedSchema, { userId, status: statusOf(mark), aggregateVersion }),
    async (client, userId) =>
      (await client.get(`{face}:d:member:${userId}`))?.startsWith("ACTIVE") === true ? "one" : "other",
    "if not is_newer(epoch, version, tonumber(status_epoch), tonumber(status_version)) then return end",
    "if version <= tonumber(status_version) then return end",
  ),
  ...Object.fromEntries(
    [BranchCreatedSchema, BranchUpdatedSchema].map((schema) => [
      `access ${schema.name}`,
      accessRow(
        (branchId, mark, aggregateVersion) =>
          create(schema, { branchId, branch: { branchId, ownerId: mark }, aggregateVersion }),
        (client, branchId) => client.hgetBuffer(`{face}:d:branch:${branchId}`, "data"),
        "if kept[1] and not is_newer(epoch, version, tonumber(kept[1]), tonumber(kept[2])) then return end",
        "if kept[1] and version <= tonumber(kept[2]) then return end",
      ),
    ]),
  ),
  "count-management CountsChanged": {
    start: async (definition) => {
      const redis = await startRedis();
      const info = definition ?? definitionOf("count-management");
      const management = await startService(info, { storeUrls: { counts: redis.url } });
      const values = { one: 100n, other: 200n };
      let value = 96n;
      const change = (delta: bigint, revision: bigint) => ({ countId: "c", delta, value: (value += delta), revision });
      return {
        tell: async (mark, epoch, revision) => {
          // The first time all that leads to it, so that no revision is missing.
          const isFirst = value === 96n;
          if (isFirst) value = 0n;
          const before = value;
          const changes = isFirst
            ? [change(96n, 1n), change(1n, 2n), change(1n, 3n), change(1n, 4n), change(1n, 5n)]
            : [change(values[mark] - value, revision)];
          await management.deliver(create(CountsChangedSchema, { shard: "0", changes }), undefined, epoch);
          // What was passed over changed nothing.
          if (!isFirst && (await sumOf(management.database.sql)) !== value) value = before;
        },
        state: async () => ((await sumOf(management.database.sql)) === values.one ? "one" : "other"),
        [Symbol.asyncDispose]: async () => {
          await management[Symbol.asyncDispose]();
          await redis.stop();
        },
      };
    },
    compares: ["count/management/watch/store-postgres.ts", "run.epoch > w.epoch", "run.epoch > w.epoch + 9"],
  },
  ...Object.fromEntries(
    ["CountCreated", "CountUpdated", "CountDeleted"].map((name) => [`count-read ${name}`, countReadRow()]),
  ),
};

/** Consumptions that compare no version. */
const without: Readonly<Record<string, string>> = {
  "user UserDataErased": "a confirmation counts once, whenever it comes",
  "mlops UserCreated": "that somebody has signed up changes nothing once it is known",
  "branch-owner UserCreated": "the name at sign-up gives way to any later one, and is given once",
};

describe("a consumer compares the epoch, then the version", () => {
  test("the table has every consumption of the catalogue whose events carry a version", () => {
    const consumed = catalog.flatMap(({ name, consumes }) =>
      consumes
        .filter(({ schema }) => schema === CountsChangedSchema || "aggregateVersion" in schema.field)
        .map(({ schema }) => `${name} ${schema.name}`),
    );
    expect([...Object.keys(rows), ...Object.keys(without)].toSorted()).toEqual(consumed.toSorted());
  });

  test.each(Object.entries(rows))("%s", async (_, { start }) => {
    await using consumer = await start();
    await check(consumer);
  });

  test.each(Object.entries(rows))("mutant: %s by the version alone", async (name, { start, compares }) => {
    const [file, from, to] = compares;
    const [service = ""] = name.split(" ");
    await caught(async () => {
      await using consumer = await start(await mutantOf(service, file, from, to));
      await check(consumer);
    });
  });
});

/** The definition of a service with one rule broken. The cache of count-read is none of its own: `countReadRow` takes it. */
async function mutantOf(service: string, file: string, from: string, to: string): Promise<ServiceInfo> {
  const root = join(import.meta.dir, "..");
  const through = file.endsWith("cache.ts") ? [] : [join(root, folderOf(service), "definition.ts")];
  const module = await importMutant<Readonly<Record<string, ServiceInfo>>>(join(root, file), from, to, through);
  return Object.values(module)[0] as ServiceInfo;
}

/** The folder of a service, below `internal`. */
function folderOf(service: string): string {
  if (service === "mlops" || service === "access") return `face/${service}`;
  return service.startsWith("count-") ? `count/${service.slice("count-".length)}` : `identity/${service}`;
}

function definitionOf(name: string): ServiceInfo {
  const found = catalog.find((info) => info.name === name);
  if (found === undefined) throw new Error(`there is no service ${name}`);
  return found;
}

async function markIn(query: Promise<readonly unknown[]>): Promise<Mark> {
  const [row] = (await query) as readonly { readonly mark: Mark }[];
  if (row === undefined) throw new Error("nothing is kept");
  return row.mark;
}

async function sumOf(sql: Sql): Promise<bigint> {
  const [row] = await sql<{ sum: string }[]>`SELECT sum FROM count_watch`;
  return BigInt(row?.sum ?? 0);
}

function statusOf(mark: Mark): UserStatus {
  return mark === "one" ? UserStatus.ACTIVE : UserStatus.SUSPENDED;
}

function authRow(
  event: (userId: string, mark: Mark, version: bigint) => Message,
  kept: (sql: Sql, userId: string) => Promise<readonly unknown[]>,
  [file, from, to]: readonly [string, string, string],
): Row {
  return {
    start: async (definition) => {
      const auth = await startAuth(definition === undefined ? {} : { definition });
      const { userId } = await auth.signUp({ email: "ada@example.org", password: "correct horse battery" });
      return {
        tell: (mark, epoch, version) => auth.deliverIn(epoch, event(userId, mark, version)),
        state: () => markIn(kept(auth.database.sql, userId)),
        [Symbol.asyncDispose]: () => auth[Symbol.asyncDispose](),
      };
    },
    compares: [`identity/auth/${file}`, from, to],
  };
}

function branchRow(event: (branchId: string, ownerId: string, version: bigint) => Message): Row {
  return authRow(
    (_, mark, version) => event("b1", mark, version),
    (sql) => sql`SELECT owner_id AS mark FROM branches`,
    [
      "device/store-postgres.ts",
      "(b.epoch, b.version) < (excluded.epoch, excluded.version)",
      "b.version < excluded.version",
    ],
  );
}

function mlopsRow(
  event: (id: string, mark: Mark, version: bigint) => Message,
  kept: (sql: Sql) => Promise<readonly unknown[]>,
  [file, from, to]: readonly [string, string, string],
): Row {
  return {
    start: async (definition) => {
      const mlops = await startMlops(definition === undefined ? {} : { info: definition });
      return {
        tell: (mark, epoch, version) => mlops.deliver(event("told-of", mark, version), undefined, epoch),
        state: () => markIn(kept(mlops.database.sql)),
        [Symbol.asyncDispose]: () => mlops[Symbol.asyncDispose](),
      };
    },
    compares: [`face/mlops/${file}`, from, to],
  };
}

type BranchOwner = Awaited<ReturnType<typeof startBranchOwner>>;

function branchOwnerRow(
  deliver: (on: BranchOwner, userId: string, mark: Mark, version: bigint, epoch: number) => Promise<void>,
  kept: (sql: Sql) => Promise<readonly unknown[]>,
  from: string,
  to: string,
): Row {
  return {
    start: async (info) => {
      const branchOwner = await startBranchOwner(info === undefined ? {} : { info });
      const { id } = await branchOwner.signUp();
      return {
        tell: (mark, epoch, version) => deliver(branchOwner, id, mark, version, epoch),
        state: () => markIn(kept(branchOwner.database.sql)),
        [Symbol.asyncDispose]: () => branchOwner[Symbol.asyncDispose](),
      };
    },
    compares: ["identity/branch-owner/person/store-postgres.ts", from, to],
  };
}

/** The copies of access; `kept` tells which mark is in one. */
function accessRow(
  event: (id: string, mark: Mark, version: bigint) => Message,
  kept: (client: OpenRedis["client"], id: string) => Promise<Buffer | string | null>,
  from: string,
  to: string,
): Row {
  return {
    start: async (info) => {
      const redis = await startRedis();
      const access = await startAccess(redis.url, info === undefined ? {} : { info });
      return {
        tell: (mark, epoch, version) => access.deliver(event("told-of", mark, version), undefined, epoch),
        state: async () => (String(await kept(access.redis.client, "told-of")).includes("one") ? "one" : "other"),
        [Symbol.asyncDispose]: async () => {
          await access[Symbol.asyncDispose]();
          await redis.stop();
        },
      };
    },
    compares: ["face/access/copies/store-redis.ts", from, to],
  };
}

/** The memory of a process of count-read, in front of stores that know nothing. */
function countReadRow(): Row {
  return {
    start: async (mutant) => {
      const make = (mutant as unknown as typeof createInfoCache | undefined) ?? createInfoCache;
      const infos = make({
        view: { read: async (countIds) => countIds.map(() => undefined) },
        store: {
          read: async (countIds) => countIds.map(() => undefined),
          keepNewest: async () => undefined,
          empty: async () => undefined,
        },
        clock: systemClock,
        lifeMs: 60_000,
        storeTimeoutMs: 1000,
        cachedMax: 10,
      });
      return {
        tell: (displayName, epoch, aggregateVersion) =>
          onInfoEvent(
            { infos, reader: { forget: () => undefined } },
            create(CountUpdatedSchema, {
              countId: "c",
              countInfo: create(CountInfoSchema, { countId: "c", displayName }),
              aggregateVersion,
            }),
            { record: { epoch } as never }, // Nothing else is looked at.
          ),
        state: async () => {
          const cached = infos.peek("c", { infoRevision: 0, absentAfter: 0 });
          return cached?.known?.info.displayName as Mark;
        },
        [Symbol.asyncDispose]: async () => undefined,
      };
    },
    compares: [
      "count/read/info/cache.ts",
      "if (isNewer(announced, versionOf(before?.known))) {",
      "if (announced.version > versionOf(before?.known).version) {",
    ],
  };
}
