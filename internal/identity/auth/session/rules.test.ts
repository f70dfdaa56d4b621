import { describe, expect, test } from "bun:test";
import { AuthService } from "../../../gen/muin/identity/v1/auth_service_pb.ts";
import type { SessionRevoked } from "../../../gen/muin/identity/v1/session_events_pb.ts";
import { systemRandom } from "../../../platform/clock/random.ts";
import { eventually } from "../../../platform/testing/eventually.ts";
import type { ServiceInfo } from "../../../platform/service/define-service.ts";
import { connect, mutantOf, outcomeOf, personOfToken, startAuth, type AuthFixture } from "../auth-fixture.ts";
import { auth as real } from "../definition.ts";

const ada = { email: "ada@example.org", password: "correct horse battery" };
const badToken = "Unauthenticated REFRESH_TOKEN_INVALID";

const revokedIds = async (auth: AuthFixture): Promise<string[]> =>
  (await auth.events())
    .filter((event): event is SessionRevoked => event.$typeName === "muin.identity.v1.SessionRevoked")
    .map((event) => event.sessionId);

/** What 100 calls with one token at once bring, and whether the family lives on. */
async function race(definition: ServiceInfo): Promise<{ done: number; successors: number; lives: boolean }> {
  await using auth = await startAuth({ definition });
  const client = auth.as(AuthService);
  const refresh = async (refreshToken: string): Promise<string> =>
    (await client.refreshToken({ refreshToken })).tokens?.refreshToken ?? "";
  const first = (await auth.signUp(ada)).tokens?.refreshToken ?? "";
  // Another holds the session's row until the calls stand before it, so that they meet however fast the machine is.
  await using beside = connect(auth.url);
  const { promise: released, resolve: release } = Promise.withResolvers<void>();
  const held = Promise.withResolvers<void>();
  const holding = beside.transaction(async (tx) => {
    await tx`SELECT 1 FROM sessions FOR UPDATE`;
    held.resolve();
    await released;
  });
  await held.promise;
  const calls = Array.from({ length: 100 }, () => refresh(first));
  await eventually(async () => {
    const waiting = await beside.sql`SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'
      AND datname = current_database()`;
    expect(waiting.length).toBeGreaterThan(1);
  });
  release();
  await holding;
  const results = await Promise.allSettled(calls);
  const given = results.flatMap((result) => (result.status === "fulfilled" ? [result.value] : []));
  const successors = new Set(given);
  const outcomes = await Promise.allSettled([...successors].map(refresh));
  const lives = outcomes.every((outcome) => outcome.status === "fulfilled");
  return { done: given.length, successors: successors.size, lives };
}

/** What is left to a thief who exchanged the token first, once its owner has used it too. */
async function theft(definition: ServiceInfo): Promise<{ owner: string; thief: string; revoked: number }> {
  await using auth = await startAuth({ definition });
  const home = auth.as(AuthService);
  const elsewhere = auth.as(AuthService, { address: "203.0.113.9" });
  const refreshToken = (await auth.signUp(ada)).tokens?.refreshToken ?? "";
  const stolen = (await elsewhere.refreshToken({ refreshToken })).tokens?.refreshToken ?? "";
  const owner = await outcomeOf(home.refreshToken({ refreshToken }));
  const thief = await outcomeOf(elsewhere.refreshToken({ refreshToken: stolen }));
  return {
    owner: owner.split(" ", 1)[0] ?? "",
    thief: thief.split(" ", 1)[0] ?? "",
    revoked: (await revokedIds(auth)).length,
  };
}

describe("refresh", () => {
  test("100 at once with one token get one successor", async () => {
    expect(await race(real)).toEqual({ done: 100, successors: 1, lives: true });
  });

  test("reuse by another ends the family, for both", async () => {
    const { owner, thief, revoked } = await theft(real);
    expect({ failed: owner !== "done" && thief !== "done", revoked }).toEqual({ failed: true, revoked: 1 });
  });

  test("mutant: without the row's lock the race is lost", async () => {
    const broken = await mutantOf(
      "session/store-postgres.ts",
      "WHERE session_id = ${sessionId} FOR UPDATE`",
      "WHERE session_id = ${sessionId}`",
    );
    expect(await race(broken)).not.toEqual({ done: 100, successors: 1, lives: true });
  });

  test("mutant: without ending the family the thief goes on", async () => {
    const broken = await mutantOf("session/refresh.ts", "await endSession(tx, deps, sessionId);", "");
    expect(await theft(broken)).toMatchObject({ thief: "done", revoked: 0 });
  });

  test("the same client gets the same successor within 10 seconds, even when that was used, and none later", async () => {
    await using auth = await startAuth();
    const client = auth.as(AuthService);
    const first = (await auth.signUp(ada)).tokens?.refreshToken ?? "";
    const refresh = async (refreshToken: string): Promise<string> =>
      (await client.refreshToken({ refreshToken })).tokens?.refreshToken ?? "";
    const second = await refresh(first);
    const third = await refresh(second);
    auth.clock.advance(8_000);
    expect([await refresh(first), await refresh(second)]).toEqual([second, third]);
    auth.clock.advance(4_000);
    expect(await outcomeOf(client.refreshToken({ refreshToken: first }))).toBe(badToken);
    expect(await outcomeOf(client.refreshToken({ refreshToken: third }))).toBe(badToken);
    const sessionId = personOfToken((await client.signIn(ada)).tokens?.accessToken ?? "").sessionId;
    expect(await revokedIds(auth)).toHaveLength(1);
    expect(await revokedIds(auth)).not.toContain(sessionId);
  });

  test("no token stands in the database", async () => {
    await using auth = await startAuth();
    const client = auth.as(AuthService);
    const first = (await auth.signUp(ada)).tokens?.refreshToken ?? "";
    const second = (await client.refreshToken({ refreshToken: first })).tokens?.refreshToken ?? "";
    const [row] = await auth.database.sql<{ text: string }[]>`
      SELECT (SELECT string_agg(s::text, ' ') FROM sessions s) || (SELECT string_agg(g::text, ' ') FROM refresh_graces g) AS text`;
    expect(row?.text.length).toBeGreaterThan(100);
    for (const token of [first, second]) {
      expect(row?.text).not.toContain(token);
      expect(row?.text).not.toContain(Buffer.from(token).toString("hex"));
      expect(row?.text).not.toContain(Buffer.from(token, "base64url").toString("hex", 16));
    }
  });

  test("an invented token for a live session changes nothing", async () => {
    await using auth = await startAuth();
    const client = auth.as(AuthService);
    const good = (await auth.signUp(ada)).tokens?.refreshToken ?? "";
    const bytes = Buffer.from(good, "base64url");
    bytes.set(systemRandom.bytes(48), 16);
    expect(await outcomeOf(client.refreshToken({ refreshToken: bytes.toString("base64url") }))).toBe(badToken);
    expect(await outcomeOf(client.refreshToken({ refreshToken: "nonsense" }))).toBe(badToken);
    expect(await outcomeOf(client.refreshToken({ refreshToken: good }))).toBe("done");
  });

  test("a session lasts as long as it is refreshed, and never longer than its whole life", async () => {
    const dayMs = 86_400_000;
    await using auth = await startAuth({ config: { refreshTokenLifeMs: 2 * dayMs, sessionLifeMs: 3 * dayMs } });
    const client = auth.as(AuthService);
    const refresh = async (refreshToken: string): Promise<string> =>
      (await client.refreshToken({ refreshToken })).tokens?.refreshToken ?? "";
    const first = await auth.signUp(ada);
    auth.clock.advance(1.5 * dayMs);
    const second = await refresh(first.tokens?.refreshToken ?? "");
    auth.clock.advance(1.4 * dayMs);
    const third = await refresh(second);
    auth.clock.advance(0.2 * dayMs);
    expect(await outcomeOf(client.refreshToken({ refreshToken: third }))).toBe(badToken);
  });
});

describe("sessions", () => {
  test("are listed to their owner with where they began, in pages", async () => {
    await using auth = await startAuth();
    await auth.signUp(ada, { userAgent: "x".repeat(300) });
    const phone = auth.as(AuthService, { address: "2001:db8::1", userAgent: "phone/2" });
    const { tokens } = await phone.signIn(ada);
    const bob = await auth.signUp({ ...ada, email: "bob@example.org" });
    const me = personOfToken(tokens?.accessToken ?? "");
    const client = auth.as(AuthService, { caller: me });
    const { sessions } = await client.listSessions({});
    expect(sessions.map(({ userAgent, address, current }) => ({ userAgent, address, current }))).toEqual([
      { userAgent: "phone/2", address: "2001:db8::1", current: true },
      { userAgent: "x".repeat(256), address: "192.0.2.1", current: false },
    ]);
    const first = await client.listSessions({ pageSize: 1 });
    const second = await client.listSessions({ pageSize: 1, pageToken: first.nextPageToken });
    expect([...first.sessions, ...second.sessions]).toEqual(sessions);
    expect(second.nextPageToken).toBe("");
    const bobs = auth.as(AuthService, { caller: personOfToken(bob.tokens?.accessToken ?? "") });
    for (const refused of [
      client.listSessions({ pageToken: "nonsense" }),
      bobs.listSessions({ pageToken: first.nextPageToken }),
    ]) {
      expect(await outcomeOf(refused)).toBe("InvalidArgument PAGE_TOKEN_INVALID");
    }
  });

  test("end by sign-out and by revoking, once, with an event, and nobody ends another's", async () => {
    await using auth = await startAuth();
    const anybody = auth.as(AuthService);
    const first = await auth.signUp(ada);
    const second = await anybody.signIn(ada);
    const bob = await auth.signUp({ ...ada, email: "bob@example.org" });
    const [me, other, stranger] = [first, second, bob].map(({ tokens }) => personOfToken(tokens?.accessToken ?? ""));
    const mine = auth.as(AuthService, { caller: me! });
    const bobs = auth.as(AuthService, { caller: stranger! });
    expect(await outcomeOf(bobs.revokeSession({ sessionId: other!.sessionId }))).toBe("PermissionDenied NOT_YOURS");
    expect(await outcomeOf(mine.revokeSession({ sessionId: "nonsense" }))).toBe("PermissionDenied NOT_YOURS");
    await mine.revokeSession({ sessionId: other!.sessionId });
    await mine.revokeSession({ sessionId: other!.sessionId });
    await mine.signOut({});
    await mine.signOut({});
    expect(await revokedIds(auth)).toEqual([other!.sessionId, me!.sessionId]);
    for (const { tokens } of [first, second]) {
      const refreshToken = tokens?.refreshToken ?? "";
      expect(await outcomeOf(anybody.refreshToken({ refreshToken }))).toBe(badToken);
    }
    expect(await outcomeOf(anybody.refreshToken({ refreshToken: bob.tokens?.refreshToken ?? "" }))).toBe("done");
  });

  test("are bounded: one more ends the one that was longest unused", async () => {
    await using auth = await startAuth();
    const client = auth.as(AuthService);
    const oldest = await auth.signUp(ada);
    let newest = "";
    for (let count = 0; count < 100; count++) {
      auth.clock.advance(1);
      newest = (await client.signIn(ada)).tokens?.accessToken ?? "";
    }
    const mine = auth.as(AuthService, { caller: personOfToken(newest) });
    const { sessions, nextPageToken } = await mine.listSessions({ pageSize: 100 });
    expect([sessions.length, nextPageToken]).toEqual([100, ""]);
    expect(await revokedIds(auth)).toEqual([personOfToken(oldest.tokens?.accessToken ?? "").sessionId]);
  });
});
