import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { Code, ConnectError } from "@connectrpc/connect";
import postgres, { type Sql } from "postgres";
import { catalog } from "../catalog.ts";
import { ErrorInfoSchema } from "../gen/google/rpc/error_details_pb.ts";
import { CountManagementService } from "../gen/muin/count/v1/count_management_service_pb.ts";
import { CountReadService } from "../gen/muin/count/v1/count_read_service_pb.ts";
import { AuthService, type TokenPair } from "../gen/muin/identity/v1/auth_service_pb.ts";
import { OwnerService } from "../gen/muin/identity/v1/owner_service_pb.ts";
import { UserDataErasedSchema } from "../gen/muin/identity/v1/user_events_pb.ts";
import { Role, UserStatus } from "../gen/muin/identity/v1/user_pb.ts";
import { ErasureState, UserService } from "../gen/muin/identity/v1/user_service_pb.ts";
import { topology } from "../platform/catalog/topology.ts";
import { eventually } from "../platform/testing/eventually.ts";
import { createMuinFolder, startMuin, type MuinFolder, type TestMuin } from "../platform/testing/muin.ts";

setDefaultTimeout(60_000);

const password = "correct horse battery";

let folder: MuinFolder;
let muin: TestMuin;
beforeAll(async () => {
  folder = await createMuinFolder();
  muin = await startMuin({ folder });
  await muin.client(CountManagementService).createCount({ countId: "guarded" });
});
afterAll(async () => {
  await muin[Symbol.asyncDispose]();
  await folder[Symbol.asyncDispose]();
});

interface Member {
  readonly userId: string;
  readonly email: string;
  readonly tokens: TokenPair;
}

let signUps = 0;
/** Somebody signs up; resolves once they have a profile. */
async function signUp(): Promise<Member> {
  const email = `person${++signUps}@example.org`;
  const { userId, tokens } = await muin.signUp({ email, password, displayName: `Person ${signUps}` });
  await eventually(() => muin.client(UserService, tokens.accessToken).getUser({ userId: "me" }));
  return { userId, email, tokens };
}

/** "<code> <reason>" of a call's failure, "done" without one. */
async function outcomeOf(call: Promise<unknown>): Promise<string> {
  try {
    await call;
    return "done";
  } catch (error) {
    const failure = ConnectError.from(error);
    return `${Code[failure.code]} ${failure.findDetails(ErrorInfoSchema)[0]?.reason ?? ""}`;
  }
}

const countAs = (token: string): Promise<string> =>
  outcomeOf(muin.client(CountReadService, token).getCount({ countId: "guarded", maxStaleness: {} }));
const signIn = (email: string, secret = password): Promise<string> =>
  outcomeOf(muin.client(AuthService).signIn({ email, password: secret }));

/** The same person, who may read Counts: an administrator may. */
async function asAdministrator(person: Member): Promise<Member> {
  await muin.client(UserService).assignRole({ userId: person.userId, assignment: { role: Role.ADMINISTRATOR } });
  return eventually(async () => {
    const { tokens } = await muin.client(AuthService).signIn({ email: person.email, password });
    expect(await countAs(tokens?.accessToken ?? "")).toBe("done");
    return { ...person, tokens: tokens as TokenPair };
  });
}

test("the services that must confirm an erasure are those that publish that they have erased", () => {
  const erasing = catalog.filter(({ publishes }) => publishes.includes(UserDataErasedSchema)).map(({ name }) => name);
  expect(topology(catalog).personalDataHolders.toSorted()).toEqual(erasing.toSorted());
  expect(erasing.length).toBeGreaterThan(1);
});

test("who signs up has a profile in a moment, over REST too, and nobody else's", async () => {
  const [me, other] = [await signUp(), await signUp()];
  const get = async (userId: string): Promise<unknown> => {
    const response = await fetch(`${muin.http}/api/v1/users/${userId}`, {
      headers: { authorization: `Bearer ${me.tokens.accessToken}` },
    });
    const { user } = (await response.json()) as { user?: { email: string } };
    return [response.status, user?.email];
  };
  expect(await Promise.all(["me", me.userId, other.userId, crypto.randomUUID()].map(get))).toEqual([
    [200, me.email],
    [200, me.email],
    [403, undefined],
    [403, undefined],
  ]);
});

test("who is suspended is refused everywhere, until they are reactivated and sign in again", async () => {
  const person = await asAdministrator(await signUp());
  const { accessToken, refreshToken } = person.tokens;
  const service = muin.client(UserService);
  await service.suspendUser({ userId: person.userId, reason: "lost card" });
  await eventually(async () => expect(await countAs(accessToken)).toBe("Unauthenticated CREDENTIALS_INVALID"));
  expect(await outcomeOf(muin.client(UserService, accessToken).getUser({ userId: "me" }))).toBe(
    "Unauthenticated CREDENTIALS_INVALID",
  );
  expect(await outcomeOf(muin.client(AuthService).refreshToken({ refreshToken }))).toStartWith("Unauthenticated ");
  expect(await signIn(person.email)).toBe("PermissionDenied ACCOUNT_SUSPENDED");
  expect(await signIn(person.email, "a wrong password")).toBe("Unauthenticated CREDENTIALS_INVALID");
  await service.reactivateUser({ userId: person.userId });
  await eventually(async () => expect(await signIn(person.email)).toBe("done"));
  expect(await countAs(accessToken)).toBe("Unauthenticated CREDENTIALS_INVALID");
});

/** Rows of a service's database. */
async function withDatabase<T>(database: string, role: string, work: (sql: Sql) => Promise<T>): Promise<T> {
  const secrets = (await Bun.file(`${folder.dataDir}/secrets.json`).json()) as Record<string, string>;
  const ports = (await Bun.file(`${folder.dataDir}/ports.json`).json()) as Record<string, number>;
  const sql = postgres({
    host: "127.0.0.1",
    port: ports["postgres"] ?? 0,
    database,
    username: role,
    password: secrets[`postgres/${role}`] ?? "",
    max: 1,
    onnotice: () => undefined,
  });
  try {
    return await work(sql);
  } finally {
    await sql.end();
  }
}

/** What auth and branch-owner know of people by events. */
const copies = async (): Promise<unknown> => [
  await withDatabase("auth", "auth_data", async (sql) => [
    ...(await sql`SELECT user_id, status, status_version, roles_version FROM accounts ORDER BY user_id`),
    ...(await sql`SELECT user_id, role, branch_id FROM role_assignments ORDER BY user_id, role, branch_id`),
  ]),
  await withDatabase("branch_owner", "branch_owner_data", async (sql) => [
    ...(await sql`
        SELECT user_id, display_name, status, status_version,
          CASE status WHEN 'DELETED' THEN 0 ELSE profile_version END AS profile_version -- Nothing is told of them but that.
        FROM people ORDER BY user_id`),
  ]),
];

/** Resolves once every event has been handled by everybody. */
async function arrived(): Promise<void> {
  await eventually(async () => {
    const { stdout } = await muin.run("status", "--json");
    const status = JSON.parse(stdout) as {
      outboxes: readonly { depth: number }[];
      consumers: readonly { topic: string; lag: number }[];
    };
    const waiting = [
      ...status.outboxes.map(({ depth }) => depth),
      ...status.consumers.filter(({ topic }) => topic.startsWith("identity.")).map(({ lag }) => lag),
    ];
    expect(waiting.filter((each) => each > 0)).toEqual([]);
  });
}

describe("a consumer that is rebuilt from nothing", () => {
  test("has the same copy of people as it had", async () => {
    const people = [await signUp(), await signUp(), await signUp(), await signUp()];
    const [a = "", b = "", c = "", d = ""] = people.map(({ userId }) => userId);
    const service = muin.client(UserService);
    await service.assignRole({ userId: a, assignment: { role: Role.HELPER, branchId: "b1" } });
    await service.updateUser({ user: { userId: a, displayName: "Renamed" } });
    await service.suspendUser({ userId: b, reason: "x" });
    await service.suspendUser({ userId: c, reason: "x" });
    await service.reactivateUser({ userId: c });
    const { erasure } = await service.deleteUser({ userId: d });
    await eventually(async () => {
      const { erasure: now } = await service.getErasure({ erasureId: erasure?.erasureId ?? "" });
      expect(now?.state).toBe(ErasureState.DONE);
    });
    await arrived();
    const before = await copies();
    await withDatabase("auth", "auth_data", async (sql) => {
      await sql`UPDATE accounts SET status = 'ACTIVE', status_version = 0, roles_version = 0`;
      await sql`DELETE FROM role_assignments`;
    });
    await withDatabase("branch_owner", "branch_owner_data", (sql) => sql`DELETE FROM people`);
    expect(await copies()).not.toEqual(before);
    const { code, stderr } = await muin.run("events", "republish", "identity.user");
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    await eventually(async () => expect(await copies()).toEqual(before));
    await arrived();
    expect(await copies()).toEqual(before);
  });
});

test("deletions are finished whenever Muin is killed", async () => {
  const people: Member[] = [];
  for (let n = 0; n < 9; n++) people.push(await signUp());
  const owner = people[0] as Member;
  await muin.client(OwnerService).registerOwner({ owner: { userId: owner.userId, companyName: "Gym" } });

  const stateOf = async (erasureId: string): Promise<ErasureState | undefined> =>
    (await muin.client(UserService).getErasure({ erasureId })).erasure?.state;
  const receipts: string[] = [];
  const moments: readonly (readonly [moment: string, isThere: (erasureId: string) => Promise<boolean>])[] = [
    ["at once", () => Promise.resolve(true)],
    [
      "when one has confirmed",
      async (erasureId) => {
        const { erasure } = await muin.client(UserService).getErasure({ erasureId });
        return erasure?.confirmations.some(({ confirmTime }) => confirmTime !== undefined) ?? false;
      },
    ],
    ["when one is done", async (erasureId) => (await stateOf(erasureId)) === ErasureState.DONE],
  ];
  for (const [index, [, isThere]] of moments.entries()) {
    const service = muin.client(UserService);
    const deletions = people.slice(index * 3, index * 3 + 3).map(({ userId }) => service.deleteUser({ userId }));
    const first = (await Promise.race(deletions)).erasure?.erasureId ?? "";
    receipts.push(first);
    await eventually(async () => expect(await isThere(first)).toBe(true));
    await muin.kill();
    // Whatever was answered counts; the others may have begun or not.
    for (const deletion of deletions) {
      const erasureId = await deletion.then(
        ({ erasure }) => erasure?.erasureId,
        () => undefined,
      );
      if (erasureId !== undefined && erasureId !== first) receipts.push(erasureId);
    }
    muin = await startMuin({ folder });
  }
  await eventually(
    async () => expect(await Promise.all(receipts.map(stateOf))).toEqual(receipts.map(() => ErasureState.DONE)),
    { timeoutMs: 30_000 },
  );
  // Who was not answered is asked again: the receipt is the one that there is, or a new one.
  const service = muin.client(UserService);
  for (const { userId } of people) await service.deleteUser({ userId });
  await eventually(async () => {
    for (const { userId, email } of people) {
      expect((await service.getUser({ userId })).user).toMatchObject({ email: "", status: UserStatus.DELETED });
      expect(await signIn(email)).toBe("Unauthenticated CREDENTIALS_INVALID");
    }
  });
});
