import { expect, test } from "bun:test";
import { ConnectError, type Client } from "@connectrpc/connect";
import { ErrorInfoSchema } from "../../../gen/google/rpc/error_details_pb.ts";
import { Role } from "../../../gen/muin/identity/v1/user_pb.ts";
import { UserService } from "../../../gen/muin/identity/v1/user_service_pb.ts";
import { scopes } from "../../../gen/scopes.ts";
import {
  keyWith,
  newsOf,
  operator,
  outcomeOf,
  personOf,
  startMutant,
  startUser,
  type UserFixture,
} from "../user-fixture.ts";

type Way = (client: Client<typeof UserService>, userId: string) => Promise<unknown>;

const helper = { role: Role.HELPER, branchId: "" };
const administrator = { role: Role.ADMINISTRATOR, branchId: "" };

/** Every way to act on somebody else. */
const ways: Readonly<Record<string, Way>> = {
  updateUser: (client, userId) => client.updateUser({ user: { userId, displayName: "Eve" } }),
  assignRole: (client, userId) => client.assignRole({ userId, assignment: helper }),
  unassignRole: (client, userId) => client.unassignRole({ userId, assignment: helper }),
  setMembership: (client, userId) => client.setMembership({ userId, membership: { plan: "basic" } }),
  pauseMembership: (client, userId) => client.pauseMembership({ userId }),
  resumeMembership: (client, userId) => client.resumeMembership({ userId }),
  endMembership: (client, userId) => client.endMembership({ userId }),
  suspendUser: (client, userId) => client.suspendUser({ userId, reason: "x" }),
  reactivateUser: (client, userId) => client.reactivateUser({ userId }),
  exportUserData: (client, userId) => client.exportUserData({ userId }),
  deleteUser: (client, userId) => client.deleteUser({ userId }),
};

/** Who holds every scope but one. */
const without = (scope: string) => keyWith(...scopes.filter((each) => each !== scope));

/** Who holds every scope: by a role that user knows of, or by what auth knows of alone. */
const holders = {
  role: (on: UserFixture, email: string) => on.signUp({ roles: ["administrator"], email }),
  grant: async (on: UserFixture, email: string) => {
    const person = await on.signUp({ email });
    on.auth.held.set(person.id, scopes);
    return person;
  },
} as const;

/** What goes through on who holds every scope, by a caller who lacks one; and what does not, by one who lacks none. */
async function wronglyDone(on: UserFixture): Promise<readonly string[]> {
  const wrong: string[] = [];
  await on.signUp({ roles: ["administrator"] }); // There is another one.
  for (const [how, make] of Object.entries(holders)) {
    for (const [name, way] of Object.entries(ways)) {
      const { id } = await make(on, `${name}@${how}.example.org`);
      const before = await newsOf(on, id);
      for (const scope of scopes) {
        const outcome = await outcomeOf(way(on.as(without(scope)), id));
        const isPolicy = ["users.manage", "audit.read"].includes(scope) && outcome.startsWith("PermissionDenied ");
        if (outcome !== "PermissionDenied PERSON_HOLDS_MORE" && !isPolicy)
          wrong.push(`${how}: ${name} without ${scope}: ${outcome}`);
      }
      const after = await newsOf(on, id);
      if (after.length !== before.length) wrong.push(`${how}: ${name}: ${after.join()}`);
      const whole = await outcomeOf(way(on.as(operator), id));
      if (whole.startsWith("PermissionDenied")) wrong.push(`${how}: ${name} with every scope: ${whole}`);
    }
  }
  return wrong;
}

/** What who lacks a scope is answered while auth, which knows what people hold, cannot be asked; by method. */
async function doneUnasked(on: UserFixture): Promise<Readonly<Record<string, string>>> {
  const outcomes: Record<string, string> = {};
  for (const [name, way] of Object.entries(ways)) {
    const { id } = await on.signUp({ email: `${name}@example.org` });
    on.auth.away = true;
    outcomes[name] = await outcomeOf(way(on.as(without("counts.read")), id));
    on.auth.away = false;
  }
  return outcomes;
}

/** Who may make somebody an administrator, or one an ordinary person, though they lack a scope. */
async function wronglyMade(on: UserFixture): Promise<readonly string[]> {
  const wrong: string[] = [];
  const { id } = await on.signUp({ email: "member@example.org" });
  for (const scope of scopes) {
    const client = on.as(without(scope));
    for (const change of [
      client.assignRole({ userId: id, assignment: administrator }),
      client.unassignRole({ userId: id, assignment: administrator }),
    ]) {
      const outcome = await outcomeOf(change);
      if (!outcome.startsWith("PermissionDenied")) wrong.push(`${scope}: ${outcome}`);
    }
  }
  return wrong;
}

test("acting on who holds every scope, by role or by grant, and making an administrator, needs every scope that one holds", async () => {
  await using user = await startUser();
  expect(await wronglyDone(user)).toEqual([]);
  expect(await wronglyMade(user)).toEqual([]);
});

test("while auth is away nobody acts on others but who holds every scope, and everybody on themself", async () => {
  await using user = await startUser();
  const unavailable = Object.keys(ways).map((name) => [name, "Unavailable IDENTITY_UNAVAILABLE"]);
  expect(await doneUnasked(user)).toEqual(Object.fromEntries(unavailable));
  const { id } = await user.signUp({ email: "ada@example.org" });
  user.auth.away = true;
  expect([
    await outcomeOf(user.as(operator).suspendUser({ userId: id, reason: "x" })),
    await outcomeOf(user.as(personOf(id)).updateUser({ user: { userId: "me", displayName: "Me" } })),
  ]).toEqual(["done", "done"]);
});

test("what is missing is named", async () => {
  await using user = await startUser();
  const { id } = await user.signUp({ roles: ["administrator"] });
  const rest = scopes.filter((scope) => scope !== "users.manage" && scope !== "users.read");
  const failure = await user
    .as(keyWith("users.manage", "users.read"))
    .suspendUser({ userId: id, reason: "x" })
    .catch((error: unknown) => ConnectError.from(error));
  const info = (failure as ConnectError).findDetails(ErrorInfoSchema)[0];
  expect([info?.reason, info?.metadata["scopes"]]).toEqual(["PERSON_HOLDS_MORE", rest.join(", ")]);
});

test("a person acts on themself, and whoever manages people on those whose roles give no scope, or give it in a branch alone", async () => {
  await using user = await startUser();
  await user.signUp({ roles: ["administrator"] });
  const { id } = await user.signUp({ roles: ["administrator"] });
  expect(await outcomeOf(user.as(personOf(id)).updateUser({ user: { userId: "me", displayName: "Me" } }))).toBe("done");
  const { id: owner } = await user.signUp({ roles: ["owner", "helper"] });
  expect(await outcomeOf(user.as(keyWith("users.manage")).suspendUser({ userId: owner, reason: "x" }))).toBe("done");
});

test("the other methods do not change people, or are one's own", () => {
  const others = ["getErasure", "getPreferences", "getUser", "listUsers", "updatePreferences"];
  const all = UserService.methods.map(({ localName }) => localName);
  expect(all.toSorted()).toEqual([...Object.keys(ways), ...others].toSorted());
});

test.each([
  ["by what auth says alone", "person/acting.ts", "[...new Set([...held, ...scopesOfRoles(person.roles)])]", "held"],
  ["by roles alone", "person/acting.ts", "[...new Set([...held,", "[...new Set(["],
  ["never", "person/acting.ts", "refusal(before) ?? change(before)", "change(before)"],
  [
    "no suspension",
    "status/rules.ts",
    "await acting.by(caller, userId, (person) => ({ ...person, ...to, ...principal }))",
    "(person: Person) => ({ ...person, ...to, ...principal })",
  ],
  [
    "no deletion",
    "erasure/rules.ts",
    "await acting.by(caller, userId, (person) => erased(person, caller.principal))",
    "(person: Person) => erased(person, caller.principal)",
  ],
  ["no copy of all data", "personal-data/handlers.ts", "accepted(caller, target, refusal(person));", ""],
])("mutant: judged %s", async (_, file, from, to) => {
  await using careless = await startMutant(file, from, to);
  expect(await wronglyDone(careless)).not.toEqual([]);
});

test("mutant: who cannot be asked about holds nothing", async () => {
  await using careless = await startMutant(
    "person/acting.ts",
    "throw userErrors.scopesUnavailable({ cause });",
    "void cause; return { scopes: [] };",
  );
  expect(Object.values(await doneUnasked(careless))).toContain("done");
});
