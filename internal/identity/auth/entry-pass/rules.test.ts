import { beforeAll, afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { isMessage } from "@bufbuild/protobuf";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { decodeProtectedHeader } from "jose";
import { AuthService } from "../../../gen/muin/identity/v1/auth_service_pb.ts";
import { BranchCreatedSchema } from "../../../gen/muin/identity/v1/branch_events_pb.ts";
import { EntryPassService } from "../../../gen/muin/identity/v1/entry_pass_service_pb.ts";
import { EntryPassRevokedSchema, type EntryPassRevoked } from "../../../gen/muin/identity/v1/session_events_pb.ts";
import { UserStatus } from "../../../gen/muin/identity/v1/user_pb.ts";
import { UserStatusChangedSchema } from "../../../gen/muin/identity/v1/user_events_pb.ts";
import { systemRandom } from "../../../platform/clock/random.ts";
import { MuinError } from "../../../platform/errors/muin-error.ts";
import type { Caller } from "../../../platform/identity/caller.ts";
import type { EntryPasses } from "../../../platform/identity/entry-pass.ts";
import { createTokenVerifier } from "../../../platform/identity/token-verifier.ts";
import type { ServiceInfo } from "../../../platform/service/define-service.ts";
import { partsOf } from "../../../platform/service/parts.ts";
import { caught } from "../../../platform/testing/mutant.ts";
import { clientOf, mutantOf, outcomeOf, personOfToken, startAuth, type AuthFixture } from "../auth-fixture.ts";
import { auth as real } from "../definition.ts";

// Each mutant has a database of its own, and machines are busy; a hang still ends.
setDefaultTimeout(30_000);

const minuteMs = 60_000;
const dayMs = 24 * 60 * minuteMs;
const branchId = systemRandom.uuid();
const password = "correct horse battery";
const forbidden = "PermissionDenied PASS_FORBIDDEN";
const tooMany = "ResourceExhausted TOO_MANY_PASSES";
type Person = Extract<Caller, { kind: "person" }>;
const keyWith = (...scopes: string[]): Caller => ({
  kind: "api_key",
  id: "k",
  principal: "api_key:k",
  scopes: new Set(scopes),
});
const desk = keyWith("passes.manage");

async function start(definition: ServiceInfo = real): Promise<AuthFixture> {
  const auth = await startAuth({ definition });
  await auth.deliver(BranchCreatedSchema, { branchId, branch: { branchId, ownerId: "ann" }, aggregateVersion: 1n });
  return auth;
}

let people = 0;
async function newPerson(auth: AuthFixture): Promise<Person> {
  people += 1;
  const { tokens } = await auth.signUp({ email: `person${people}@example.org`, password });
  return personOfToken(tokens.accessToken);
}

const passesAs = (auth: AuthFixture, caller: Caller) => auth.as(EntryPassService, { caller });
const issue = (auth: AuthFixture, caller: Caller, more: { userId?: string; lifeSeconds?: number } = {}) =>
  passesAs(auth, caller).issueEntryPass({ branchId, ...more });
const revoke = (auth: AuthFixture, caller: Caller, entryPassId: string) =>
  passesAs(auth, caller).revokeEntryPass({ entryPassId });
const change = (auth: AuthFixture, userId: string, status: UserStatus, version: bigint) =>
  auth.deliver(UserStatusChangedSchema, { userId, status, aggregateVersion: version });

/** What tells at a door what passes of this auth are good for. */
function doorOf(auth: AuthFixture): EntryPasses {
  const { entryPasses } = createTokenVerifier({
    issuer: auth.config.issuer,
    fetchKeys: async () => (await auth.as(AuthService).listKeys({})).keys,
    refused: (why) => new MuinError({ code: "unauthenticated", reason: "REFUSED", message: why }),
    clock: auth.clock,
    log: auth.log,
  });
  return entryPasses;
}

/** What was told of revoked passes, newest last. */
async function revoked(auth: AuthFixture): Promise<readonly EntryPassRevoked[]> {
  return (await auth.events()).filter((event) => isMessage(event, EntryPassRevokedSchema));
}

let auth: AuthFixture;
beforeAll(async () => {
  auth = await start();
});
afterAll(() => auth[Symbol.asyncDispose]());

describe("an entry pass", () => {
  test("is issued to who asks for it, short, good for 5 minutes at a door of its branch, and kept nowhere", async () => {
    const ada = await newPerson(auth);
    const { entryPassId, pass, expireTime } = await issue(auth, ada);
    const expireMs = timestampMs(expireTime!);
    expect(expireMs - auth.clock.now()).toBeWithin(4 * minuteMs, 5 * minuteMs + 1);
    expect(pass.length).toBeLessThan(400);
    expect(decodeProtectedHeader(pass)).toMatchObject({ alg: "EdDSA", typ: "pass+jwt" });
    expect(await doorOf(auth).verify(pass)).toEqual({ passId: entryPassId, memberId: ada.id, branchId, expireMs });
    const [row] = await auth.database.sql<{ text: string }[]>`
      SELECT p::text AS text FROM entry_passes p WHERE entry_pass_id = ${entryPassId}`;
    expect(row?.text).not.toContain(pass.split(".")[2] ?? "");
    const acts = await auth.database.sql<{ action: string; principal: string; detail: string }[]>`
      SELECT action, principal, detail FROM audit_log WHERE subject = ${`entry_pass:${entryPassId}`}`;
    const detail = `person:${ada.id} branch:${branchId} ${new Date(expireMs).toISOString()}`;
    expect([...acts]).toEqual([{ action: "ISSUE_ENTRY_PASS", principal: ada.principal, detail }]);
  });

  test("lives for 30 seconds to a day, and for nothing else", async () => {
    const ada = await newPerson(auth);
    for (const lifeSeconds of [30, 86_400]) {
      const { expireTime } = await issue(auth, ada, { lifeSeconds });
      const leftMs = timestampMs(expireTime!) - auth.clock.now();
      expect(leftMs).toBeWithin(lifeSeconds * 1000 - 5000, lifeSeconds * 1000 + 1);
    }
    for (const lifeSeconds of [-1, 1, 29, 86_401]) {
      expect(await outcomeOf(issue(auth, ada, { lifeSeconds }))).toStartWith("InvalidArgument");
    }
  });

  test("is issued for somebody else, and by what is nobody, only with passes.manage", async () => {
    const [ada, eve] = [await newPerson(auth), await newPerson(auth)];
    expect(await outcomeOf(issue(auth, eve, { userId: ada.id }))).toBe(forbidden);
    expect(await outcomeOf(issue(auth, eve, { userId: systemRandom.uuid() }))).toBe(forbidden);
    expect(await outcomeOf(issue(auth, keyWith("users.manage"), { userId: ada.id }))).toBe(forbidden);
    expect(await outcomeOf(issue(auth, desk))).toStartWith("InvalidArgument");
    expect(await outcomeOf(issue(auth, eve, { userId: eve.id }))).toBe("done");
    const { pass } = await issue(auth, desk, { userId: ada.id });
    expect(await doorOf(auth).verify(pass)).toMatchObject({ memberId: ada.id });
  });

  test("needs a person and a branch that there are", async () => {
    const ada = await newPerson(auth);
    const at = (branch: string) => outcomeOf(passesAs(auth, ada).issueEntryPass({ branchId: branch }));
    expect(await at(systemRandom.uuid())).toBe("NotFound BRANCH_NOT_FOUND");
    expect(await at("b1")).toBe("NotFound BRANCH_NOT_FOUND");
    for (const userId of [systemRandom.uuid(), "nobody"]) {
      expect(await outcomeOf(issue(auth, desk, { userId }))).toBe("NotFound USER_NOT_FOUND");
    }
  });

  test("is revoked by its person and with passes.manage, and nobody else learns whether there is one", async () => {
    const [ada, eve] = [await newPerson(auth), await newPerson(auth)];
    const [first, second] = [await issue(auth, ada), await issue(auth, ada)];
    for (const id of [first.entryPassId, systemRandom.uuid(), "x"]) {
      expect(await outcomeOf(revoke(auth, eve, id))).toBe(forbidden);
      expect(await outcomeOf(revoke(auth, keyWith("users.manage"), id))).toBe(forbidden);
    }
    const before = (await revoked(auth)).length;
    for (const caller of [ada, ada, desk]) await revoke(auth, caller, first.entryPassId);
    await revoke(auth, desk, second.entryPassId);
    const told = (await revoked(auth)).slice(before);
    expect(told.map(({ entryPassId, aggregateVersion }) => [entryPassId, aggregateVersion])).toEqual([
      [first.entryPassId, 2n],
      [second.entryPassId, 2n],
    ]);
    expect(told.map(({ expireTime }) => expireTime)).toEqual([first.expireTime, second.expireTime]);
    expect(await outcomeOf(revoke(auth, desk, systemRandom.uuid()))).toBe("NotFound ENTRY_PASS_NOT_FOUND");
    const acts = await auth.database.sql<{ principal: string }[]>`
      SELECT principal FROM audit_log WHERE action = 'REVOKE_ENTRY_PASS' AND subject IN
        (${`entry_pass:${first.entryPassId}`}, ${`entry_pass:${second.entryPassId}`}) ORDER BY audit_id`;
    expect(acts.map(({ principal }) => principal)).toEqual([ada.principal, desk.principal]);
  });
});

/** Asks for 25 passes at once, half of them of another process of auth. */
async function limits(definition?: ServiceInfo): Promise<void> {
  await using own = await start(definition);
  const ada = await newPerson(own);
  const other = clientOf(own.another().parts, EntryPassService, { caller: ada });
  const asked = Array.from({ length: 25 }, (_, index) =>
    outcomeOf(index % 2 === 0 ? issue(own, ada) : other.issueEntryPass({ branchId })),
  );
  const outcomes = (await Promise.all(asked)).toSorted();
  expect(outcomes).toEqual([...Array<string>(5).fill(tooMany), ...Array<string>(20).fill("done")]);
  expect(await outcomeOf(issue(own, desk, { userId: ada.id }))).toBe(tooMany);
  expect(await outcomeOf(issue(own, await newPerson(own)))).toBe("done");
  // Whoever gives one up gets another; what has ended counts no more.
  const [alive] = await own.database.sql<{ entry_pass_id: string }[]>`SELECT entry_pass_id FROM entry_passes
    WHERE user_id = ${ada.id} LIMIT 1`;
  await revoke(own, ada, alive?.entry_pass_id ?? "");
  expect([await outcomeOf(issue(own, ada)), await outcomeOf(issue(own, ada))]).toEqual(["done", tooMany]);
  own.clock.advance(5 * minuteMs + 1000);
  expect(await outcomeOf(issue(own, ada))).toBe("done");
}

/** Issues and revokes without end. */
async function limitsRevoked(definition?: ServiceInfo): Promise<void> {
  await using own = await start(definition);
  const ada = await newPerson(own);
  let revokedPasses = 0;
  for (; revokedPasses < 110; revokedPasses += 1) {
    const issued = await issue(own, ada).catch(() => undefined);
    if (issued === undefined) break;
    await revoke(own, ada, issued.entryPassId);
  }
  expect(revokedPasses).toBe(100);
  own.clock.advance(5 * minuteMs + 1000);
  expect(await outcomeOf(issue(own, ada))).toBe("done");
}

/** Somebody with two passes, one of which was revoked before, is suspended, admitted and deleted. */
async function endsWithPerson(definition?: ServiceInfo): Promise<void> {
  await using own = await start(definition);
  const [ada, eve] = [await newPerson(own), await newPerson(own)];
  const [alive, ended] = [await issue(own, ada), await issue(own, ada)];
  await issue(own, eve);
  await revoke(own, ada, ended.entryPassId);
  await change(own, ada.id, UserStatus.SUSPENDED, 2n);
  expect((await revoked(own)).map(({ entryPassId }) => entryPassId)).toEqual([ended.entryPassId, alive.entryPassId]);
  for (const caller of [ada, desk]) {
    expect(await outcomeOf(issue(own, caller, { userId: ada.id }))).toBe("FailedPrecondition USER_NOT_ACTIVE");
  }
  await change(own, ada.id, UserStatus.ACTIVE, 3n);
  const last = await issue(own, ada);
  await change(own, ada.id, UserStatus.DELETED, 4n);
  expect((await revoked(own)).map(({ entryPassId }) => entryPassId)).toEqual([
    ended.entryPassId,
    alive.entryPassId,
    last.entryPassId,
  ]);
  expect(await outcomeOf(issue(own, desk, { userId: ada.id }))).toBe("NotFound USER_NOT_FOUND");
  // That they were revoked is still told; whose they were is not.
  const rows = await own.database.sql<{ user_id: string | null }[]>`
    SELECT user_id FROM entry_passes WHERE revoke_time IS NOT NULL`;
  expect(rows.map((row) => row.user_id)).toEqual([null, null, null]);
  const republisher = partsOf(own.parts, "republisher").find(({ schemas }) => schemas.includes(EntryPassRevokedSchema));
  await republisher?.republish();
  expect(
    (await revoked(own)).slice(3).map(({ entryPassId, aggregateVersion }) => [entryPassId, aggregateVersion]),
  ).toEqual([alive, ended, last].map(({ entryPassId }) => [entryPassId, 2n]));
}

/** Passes stay for two days after their end, in which their revocation is told again for one. */
async function cleansUp(definition?: ServiceInfo): Promise<void> {
  await using own = await start(definition);
  const ada = await newPerson(own);
  const { entryPassId } = await issue(own, ada);
  await issue(own, ada);
  await revoke(own, ada, entryPassId);
  const state = async (): Promise<readonly unknown[]> => {
    await own.prune();
    const rows = await own.database.sql`SELECT 1 FROM entry_passes`;
    const service: Caller = { kind: "service", id: "access", principal: "service:access" };
    const { revocations } = await own.as(AuthService, { caller: service }).listRevocations({});
    return [rows.length, revocations.filter(({ subject }) => subject.value === entryPassId).length];
  };
  const states = [await state()];
  for (const ms of [dayMs, 70 * minuteMs, dayMs - 90 * minuteMs, 30 * minuteMs]) {
    own.clock.advance(ms);
    states.push(await state());
  }
  expect(states).toEqual([
    [2, 1],
    [2, 1],
    [2, 0],
    [2, 0],
    [0, 0],
  ]);
}

/** A person finds their passes in the copy of their data, without what opens a door. */
test("a person's copy of their data tells of their passes", async () => {
  const ada = await newPerson(auth);
  const { entryPassId, pass, expireTime } = await issue(auth, ada);
  await revoke(auth, ada, entryPassId);
  const held = partsOf(auth.parts, "personalData")[0]!;
  const copy = await held.exportOf(ada.id, new AbortController().signal);
  const iso = new Date(timestampMs(expireTime!)).toISOString().replace(".000Z", "Z");
  expect(copy?.["entryPasses"]).toMatchObject([
    { entryPassId, branchId, expireTime: iso, revokeTime: expect.any(String) },
  ]);
  expect(JSON.stringify(copy)).not.toContain(pass);
});

test("a person has at most 20 passes that are alive, whichever process issues them", () => limits());

test("a person has at most 100 passes that have not ended, however many they revoke", () => limitsRevoked());

test("passes end when their person is suspended or deleted, who gets no other", () => endsWithPerson());

test("passes are removed two days after their end", () => cleansUp());

/** A pass that was issued, and the clock put back by three hours, opens a door for its life. */
test("a pass that a clock issued which ran ahead is good for its life once the clock is put back, unless it is revoked", async () => {
  await using own = await start();
  const ada = await newPerson(own);
  own.clock.advance(180 * minuteMs);
  const { entryPassId, pass } = await issue(own, ada);
  own.clock.advance(-180 * minuteMs);
  const door = doorOf(own);
  expect(await door.verify(pass)).toMatchObject({ passId: entryPassId });
  own.clock.advance(6 * minuteMs);
  expect(await door.verify(pass)).toBe("expired");
  await revoke(own, ada, entryPassId);
  expect((await revoked(own)).map(({ entryPassId: id }) => id)).toEqual([entryPassId]);
});

test.each([
  ["limits are those of a process", "await accounts.lock(tx, userId)", "await accounts.find(tx, userId)", limits],
  ["nothing limits what is revoked", "unended >= unendedPassesMax", "unended < 0", limitsRevoked],
  ["nothing limits what is alive", "alive >= alivePassesMax", "alive < 0", limits],
  ["who is suspended gets passes", "if (account.isSuspended)", "if (account.version < 0n)", endsWithPerson],
])("mutant: %s", async (_, from, to, check) => {
  const definition = await mutantOf("entry-pass/rules.ts", from, to);
  await caught(() => check(definition));
});

test.each([
  [
    "a pass outlives its person's suspension",
    "account/person.ts",
    "await endEntryPassesOf(tx,",
    "await Promise.resolve(",
    endsWithPerson,
  ],
  [
    "a pass outlives its person",
    "personal-data/rules.ts",
    "await endEntryPassesOf(tx,",
    "await Promise.resolve(",
    endsWithPerson,
  ],
  ["passes are kept", "retention/rules.ts", "nowMs - endedPassMs", "0", cleansUp],
  ["passes are removed at once", "retention/rules.ts", "nowMs - endedPassMs", "nowMs", cleansUp],
  ["revocations are forgotten with the pass", "revocation/rules.ts", "passes: entryPassPastMs", "passes: 0", cleansUp],
] as const)("mutant: %s", async (_, path, from, to, check) => {
  const definition = await mutantOf(path, from, to);
  await caught(() => check(definition));
});
