import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import type { BranchUpdated } from "../../../gen/muin/identity/v1/branch_events_pb.ts";
import { BranchState, StaffRole } from "../../../gen/muin/identity/v1/branch_pb.ts";
import type { UserDataErased } from "../../../gen/muin/identity/v1/user_events_pb.ts";
import { UserStatus } from "../../../gen/muin/identity/v1/user_pb.ts";
import { caught, importMutant } from "../../../platform/testing/mutant.ts";
import {
  administrator,
  outcomeOf,
  personOf,
  startBranchOwner,
  type BranchOwnerFixture,
} from "../branch-owner-fixture.ts";
import type * as definition from "../definition.ts";

setDefaultTimeout(30_000);

let service: BranchOwnerFixture;
beforeAll(async () => {
  service = await startBranchOwner();
});
afterAll(() => service[Symbol.asyncDispose]());

const { ACTIVE, SUSPENDED, DELETED } = UserStatus;

/** What is kept of a person. */
async function rowOf(userId: string, of: BranchOwnerFixture = service) {
  const [row] = await of.database.sql<{ display_name: string; status: string }[]>`
    SELECT display_name, status FROM people WHERE user_id = ${userId}`;
  return row === undefined ? undefined : `${row.status} ${row.display_name}`;
}
const newId = (): string => crypto.randomUUID();

/** Versions in any order leave the newest, and what is not newer changes nothing. */
async function checkVersions(of: BranchOwnerFixture): Promise<void> {
  const userId = newId();
  await of.deliver(of.updated(userId, "third", 3n));
  await of.deliver(of.created(userId, "first"));
  await of.deliver(of.updated(userId, "second", 2n));
  await of.deliver(of.updated(userId, "third again", 3n));
  expect(await rowOf(userId, of)).toBe("ACTIVE third");
  // Counted apart: the status begins anew.
  await of.statusChanged(userId, SUSPENDED, 2n);
  await of.statusChanged(userId, ACTIVE, 1n);
  expect(await rowOf(userId, of)).toBe("SUSPENDED third");
  await of.deliver(of.updated(userId, "fourth", 4n));
  expect(await rowOf(userId, of)).toBe("SUSPENDED fourth");
}

/** All orders of a list. */
function permutationsOf<T>(list: readonly T[]): readonly (readonly T[])[] {
  if (list.length === 0) return [[]];
  return list.flatMap((first) =>
    permutationsOf(list.filter((each) => each !== first)).map((others) => [first].concat(others)),
  );
}

describe("news of people", () => {
  test("is taken once, in the order of its versions", () => checkVersions(service));

  test("makes the same copy in whatever order it comes, and when it comes anew", async () => {
    type Told = (userId: string) => Promise<void>;
    const news: readonly Told[] = [
      (userId) => service.deliver(service.created(userId, "first")),
      (userId) => service.deliver(service.updated(userId, "second", 1n)),
      (userId) => service.deliver(service.updated(userId, "third", 2n)),
      (userId) => service.statusChanged(userId, SUSPENDED, 1n),
      (userId) => service.statusChanged(userId, ACTIVE, 2n),
    ];
    const seen = await Promise.all(
      permutationsOf(news).map(async (order) => {
        const userId = newId();
        for (const tell of order) await tell(userId);
        return rowOf(userId);
      }),
    );
    expect(seen).toHaveLength(120);
    expect([...new Set(seen)]).toEqual(["ACTIVE third"]);
    // From nothing, by what their owners publish again: the present state alone.
    const userId = newId();
    for (const tell of [news[4], news[2], news[0]]) await tell?.(userId);
    expect(await rowOf(userId)).toBe("ACTIVE third");
  });

  test("that comes again changes nothing, whatever its event", async () => {
    const userId = newId();
    const event = service.created(userId, "Kim");
    for (const id of ["0199c5f2-0000-7000-8000-000000000001", "0199c5f2-0000-7000-8000-000000000001", undefined]) {
      await service.deliver(event, id);
    }
    expect(await rowOf(userId)).toBe("ACTIVE Kim");
  });

  test("a status that comes before the sign-up waits for the name", async () => {
    const userId = newId();
    await service.statusChanged(userId, SUSPENDED, 1n);
    expect(await rowOf(userId)).toBe("SUSPENDED ");
    await service.deliver(service.created(userId, "Late"));
    expect(await rowOf(userId)).toBe("SUSPENDED Late");
  });

  test("of who was erased meanwhile is acknowledged and leaves nothing", async () => {
    const userId = newId();
    const events = [service.created(userId, "Gone"), service.updated(userId, "Gone", 1n)];
    service.keys.set(userId, undefined);
    await using late = await startBranchOwner();
    late.keys.set(userId, undefined);
    for (const event of events) await late.deliver(event);
    expect(await rowOf(userId, late)).toBeUndefined();
  });

  test("is tried again when auth knows no key yet", async () => {
    const userId = newId();
    const event = service.created(userId, "Early");
    await using ahead = await startBranchOwner();
    expect(ahead.deliver(event)).rejects.toThrow("auth knows of no person");
    expect(await rowOf(userId, ahead)).toBeUndefined();
  });
});

/** A deleted person's data goes, their branches close, their work ends, and the saga hears of it. */
async function checkErasure(of: BranchOwnerFixture): Promise<void> {
  const person = await of.newOwner("Forgotten");
  const [colleague, heir] = await Promise.all([of.newOwner("Lee"), of.newOwner("Park")]);
  await of.owners(person).updateOwner({ owner: { userId: person.id, contactEmail: "kim@example.com" } });
  const run = await of.newBranch(person);
  const closed = await of.newBranch(person);
  await of.branches(person).closeBranch({ branchId: closed.branchId });
  const branch = { displayName: "Remembered", timeZone: "UTC" };
  const remembered = await of.branches(person).createBranch({ branch, requestId: "creation-1" });
  const other = await of.newBranch(colleague);
  const staffMember = { userId: person.id, role: StaffRole.MANAGER };
  await of.branches(colleague).addStaff({ branchId: other.branchId, staffMember });

  const before = (await of.events()).length;
  await of.statusChanged(person.id, DELETED, 7n);
  const events = (await of.events()).slice(before);
  const updates = events.slice(0, -1) as BranchUpdated[];
  expect(updates.map((event) => [event.branchId, event.branch?.state, event.staff.length])).toEqual([
    [run.branchId, BranchState.CLOSED, 0],
    [remembered.branch?.branchId ?? "", BranchState.CLOSED, 0],
    [other.branchId, BranchState.ACTIVE, 0],
  ]);
  const erased = events.at(-1) as UserDataErased;
  expect(erased).toMatchObject({
    $typeName: "muin.identity.v1.UserDataErased",
    userId: person.id,
    service: "branch-owner",
    aggregateVersion: 7n,
  });

  // Nothing personal is left anywhere, but for the id.
  const tables = await of.database.sql<{ name: string }[]>`
    SELECT table_name AS name FROM information_schema.tables WHERE table_schema = 'public'`;
  expect(tables.length).toBeGreaterThan(4);
  for (const { name } of tables) {
    const rows = await of.database.sql<{ text: string }[]>`SELECT t::text AS text FROM ${of.database.sql(name)} t`;
    expect(rows.filter(({ text }) => /Forgotten|kim@example\.com/.test(text))).toEqual([]);
  }
  expect(await of.database.sql`SELECT FROM request_memory WHERE principal = ${person.principal}`).toHaveLength(0);
  expect(await rowOf(person.id, of)).toBe("DELETED ");
  expect(await outcomeOf(of.branches(person).listBranches({}))).toBe("PermissionDenied ACCOUNT_SUSPENDED");
  expect(await outcomeOf(of.owners(administrator).getOwner({ userId: person.id }))).toBe("NotFound OWNER_NOT_FOUND");

  // Neither news nor work brings them back, and who asks again is told again.
  await of.deliver(of.created(person.id, "Forgotten"));
  await of.deliver(of.updated(person.id, "Forgotten", 9n));
  await of.statusChanged(person.id, ACTIVE, 9n);
  expect(await rowOf(person.id, of)).toBe("DELETED ");
  const branches = of.branches(administrator);
  expect(await outcomeOf(branches.addStaff({ branchId: other.branchId, staffMember }))).toBe("NotFound USER_NOT_FOUND");
  expect(await outcomeOf(branches.createBranch({ branch: { ...branch, ownerId: person.id } }))).toBe(
    "FailedPrecondition OWNER_MISSING",
  );
  const { branchId } = run;
  expect(await outcomeOf(branches.transferBranch({ branchId: other.branchId, ownerId: person.id }))).toBe(
    "FailedPrecondition OWNER_MISSING",
  );
  expect(await outcomeOf(branches.reopenBranch({ branchId }))).toBe("FailedPrecondition OWNER_MISSING");
  const count = (await of.events()).length;
  await of.statusChanged(person.id, DELETED, 7n);
  expect((await of.events()).slice(count)).toMatchObject([{ userId: person.id, service: "branch-owner" }]);

  // Another owner goes on with the branch.
  await branches.transferBranch({ branchId, ownerId: heir.id });
  expect((await of.branches(heir).reopenBranch({ branchId })).branch?.state).toBe(BranchState.ACTIVE);
}

describe("a deleted person", () => {
  test("leaves nothing but an id, and closed branches for another owner", () => checkErasure(service));

  test("who is not known here is confirmed as well, and stays deleted", async () => {
    const userId = newId();
    await service.statusChanged(userId, DELETED, 2n);
    expect((await service.events()).at(-1)).toMatchObject({ userId, service: "branch-owner", aggregateVersion: 2n });
    await service.deliver(service.created(userId, "Late"));
    expect(await rowOf(userId)).toBe("DELETED ");
  });

  test("neither gets, reopens nor works for a branch at the moment of the deletion", async () => {
    for (let round = 0; round < 10; round += 1) {
      const [person, colleague] = await Promise.all([service.newOwner(), service.newOwner()]);
      const [mine, theirs, gift] = await Promise.all([
        service.newBranch(person),
        service.newBranch(colleague),
        service.newBranch(colleague),
      ]);
      await service.branches(person).closeBranch({ branchId: mine.branchId });
      const staffMember = { userId: person.id, role: StaffRole.MANAGER };
      await Promise.all([
        service.statusChanged(person.id, DELETED, 2n),
        outcomeOf(service.newBranch(person)),
        outcomeOf(service.branches(person).reopenBranch({ branchId: mine.branchId })),
        outcomeOf(service.branches(colleague).addStaff({ branchId: theirs.branchId, staffMember })),
        outcomeOf(service.branches(administrator).transferBranch({ branchId: gift.branchId, ownerId: person.id })),
      ]);
      const { branches } = await service.branches(administrator).listBranches({ ownerId: person.id });
      expect(branches.map(({ state }) => state)).toEqual(branches.map(() => BranchState.CLOSED));
      const { staff } = await service.branches(administrator).listStaff({ branchId: theirs.branchId });
      expect(staff).toEqual([]);
    }
  });
});

/** branch-owner with one rule broken, which stands in the file `name`. */
async function mutantOf(name: string, from: string, to: string): Promise<BranchOwnerFixture> {
  const { branchOwner } = await importMutant<typeof definition>(join(import.meta.dir, name), from, to, [
    join(import.meta.dir, "../definition.ts"),
  ]);
  return startBranchOwner({ info: branchOwner });
}

describe("a mutant is caught", () => {
  test.each([
    [
      "that takes an older profile",
      "(p.profile_epoch, p.profile_version) < (excluded.profile_epoch, excluded.profile_version) AND",
      "",
    ],
    [
      "that takes an older status",
      "(p.status_epoch, p.status_version) < (excluded.status_epoch, excluded.status_version) AND",
      "",
    ],
    ["that takes a sign-up for newer than a change", "p.profile_version = 0 AND ", ""],
  ])("%s", async (_, from, to) => {
    await using mutant = await mutantOf("store-postgres.ts", from, to);
    await caught(() => checkVersions(mutant));
  });
  test.each([
    ["that keeps the name", "store-postgres.ts", "SET display_name = '', status = 'DELETED'", "SET status = 'DELETED'"],
    [
      "that keeps the contact",
      "../owner/store-postgres.ts",
      "company_name = '', contact_email = '',",
      "company_name = '',",
    ],
    [
      "that leaves branches open",
      "../personal-data/rules.ts",
      'branch.ownerId === userId && branch.state === "ACTIVE"',
      "false",
    ],
    [
      "that keeps the replies",
      "../personal-data/rules.ts",
      "await requests.forgetPrincipal(tx, `person:${userId}`);",
      "",
    ],
    [
      "that does not confirm",
      "rules.ts",
      "return announceErasure(tx, publish, userId, aggregateVersion, clock.now());",
      "return;",
    ],
  ])("%s", async (_, name, from, to) => {
    await using mutant = await mutantOf(name, from, to);
    await caught(() => checkErasure(mutant));
  });
});

test("who signed up before this service heard of them is nobody's suspended account", async () => {
  const person = personOf(newId());
  expect((await service.branches(person).listBranches({})).branches).toEqual([]);
});
