import { decodeJwt, decodeProtectedHeader } from "jose";
import { describe, expect, test } from "bun:test";
import { AuditService } from "../../../gen/muin/identity/v1/audit_service_pb.ts";
import { AuthService } from "../../../gen/muin/identity/v1/auth_service_pb.ts";
import { ServiceTokenService } from "../../../gen/muin/identity/v1/service_token_service_pb.ts";
import { ServiceWithdrawnSchema } from "../../../gen/muin/identity/v1/session_events_pb.ts";
import { scopes } from "../../../gen/scopes.ts";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { MuinError } from "../../../platform/errors/muin-error.ts";
import type { Caller } from "../../../platform/identity/caller.ts";
import { createTokenVerifier, type TokenVerifier } from "../../../platform/identity/token-verifier.ts";
import type { ServiceInfo } from "../../../platform/service/define-service.ts";
import { mutantOf, outcomeOf, startAuth, type AuthFixture } from "../auth-fixture.ts";

const keyWith = (held: readonly string[]): Caller => ({
  kind: "api_key",
  id: "k",
  principal: "api_key:k",
  scopes: new Set(held),
});
const operator = keyWith(scopes);

const issue = async (auth: AuthFixture, serviceName = "user"): Promise<string> =>
  (await auth.as(ServiceTokenService, { caller: operator }).issueBootstrapSecret({ serviceName })).secret;
const withdraw = (auth: AuthFixture, serviceName = "user") =>
  auth.as(ServiceTokenService, { caller: operator }).withdrawService({ serviceName });
const renew = async (auth: AuthFixture, secret: string, address = "192.0.2.1") => {
  const { token } = await auth.as(ServiceTokenService, { address }).renewServiceToken({ secret });
  return token;
};
const invalid = "Unauthenticated BOOTSTRAP_SECRET_INVALID";
const nobodys = `muin-service_${"a".repeat(43)}`;

const secretsOf = (auth: AuthFixture, caller = operator) =>
  auth.as(ServiceTokenService, { caller }).listBootstrapSecrets({});

const auditOf = async (auth: AuthFixture): Promise<readonly string[]> =>
  (await auth.as(AuditService, { caller: operator }).listAuditEvents({ subject: "service:user" })).auditEvents
    .toReversed()
    .map(({ action, principal }) => `${action} ${principal}`);

/** What who lacks one scope, each in turn, is answered to issue a service's secret and to withdraw the service. */
const withoutOneScope = async (definition?: ServiceInfo): Promise<ReadonlySet<string>> => {
  await using auth = await startAuth(definition === undefined ? {} : { definition });
  await issue(auth);
  const outcomes = new Set<string>();
  for (const missing of scopes) {
    const tokens = auth.as(ServiceTokenService, { caller: keyWith(scopes.filter((scope) => scope !== missing)) });
    outcomes.add(await outcomeOf(tokens.issueBootstrapSecret({ serviceName: "user" })));
    outcomes.add(await outcomeOf(tokens.withdrawService({ serviceName: "user" })));
  }
  return outcomes;
};

describe("a bootstrap secret", () => {
  test("gets tokens of 15 minutes with an audience of their own, and is kept as a hash", async () => {
    await using auth = await startAuth();
    const secret = await issue(auth);
    expect(secret).toMatch(/^muin-service_[\w-]{43}$/);
    const reply = await auth.as(ServiceTokenService).renewServiceToken({ secret });
    const claims = decodeJwt(reply.token);
    expect(claims).toEqual({
      iss: "muin",
      aud: "muin-service",
      sub: "service:user",
      iat: Math.floor(auth.clock.now() / 1000),
      exp: (claims.iat ?? 0) + 900,
      jti: expect.any(String),
    });
    expect(decodeProtectedHeader(reply.token).typ).toBe("muin-service+jwt");
    expect([reply.issueTime, reply.expireTime].map((time) => Number(time?.seconds))).toEqual([
      claims.iat!,
      claims.exp!,
    ]);
    const [row] = await auth.database.sql<{ secret_hash: Uint8Array }[]>`SELECT * FROM bootstrap_secrets`;
    expect(row?.secret_hash).toHaveLength(32);
    expect(JSON.stringify(row)).not.toContain(secret.slice(13));
    expect(await auditOf(auth)).toEqual(["ISSUE_BOOTSTRAP_SECRET api_key:k"]);
  });

  test("takes the place of the one before, and is listed without itself", async () => {
    await using auth = await startAuth();
    const first = await issue(auth);
    await renew(auth, first);
    const second = await issue(auth);
    expect(await outcomeOf(renew(auth, first))).toBe(invalid);
    const [listed] = (await secretsOf(auth)).bootstrapSecrets;
    expect([listed?.serviceName, listed?.renewTime, listed?.withdrawTime]).toEqual(["user", undefined, undefined]);
    await renew(auth, second);
    await withdraw(auth);
    const { bootstrapSecrets } = await secretsOf(auth);
    expect(bootstrapSecrets).toMatchObject([{ renewTime: expect.anything(), withdrawTime: expect.anything() }]);
  });

  test("is issued and withdrawn only by who holds every scope", async () => {
    expect(await withoutOneScope()).toEqual(new Set(["PermissionDenied SCOPE_MISSING"]));
    await using auth = await startAuth();
    expect(await outcomeOf(withdraw(auth))).toBe("NotFound SERVICE_NOT_FOUND");
  });

  test.each([
    [
      "issues",
      "const refused = refuseWithout(held);\n      if (refused !== undefined) return refused;\n      const secret",
      "const secret",
    ],
    [
      "withdraws",
      "const refused = refuseWithout(held);\n      if (refused !== undefined) return refused;\n      return database",
      "return database",
    ],
  ])("mutant: one that %s for everybody is noticed", async (_, from, to) => {
    const outcomes = await withoutOneScope(await mutantOf("bootstrap/rules.ts", from, to));
    expect(outcomes).toContain("done");
  });

  test("that is nobody's, is short or has another form gets one answer", async () => {
    await using auth = await startAuth();
    const secret = await issue(auth);
    expect(await outcomeOf(renew(auth, nobodys))).toBe(invalid);
    expect(await outcomeOf(renew(auth, secret.replace("muin-service_", "muin_service_")))).toBe(invalid);
    expect(await outcomeOf(renew(auth, secret.slice(1)))).toBe("InvalidArgument FIELD_INVALID");
  });
});

/** What 65 guesses of one network are answered, then a good secret from there and from elsewhere, and from there a second later. */
const guesses = async (definition?: ServiceInfo): Promise<readonly unknown[]> => {
  await using auth = await startAuth(definition === undefined ? {} : { definition });
  const secret = await issue(auth);
  const outcomes = new Map<string, number>();
  for (let guess = 0; guess < 65; guess++) {
    const outcome = await outcomeOf(renew(auth, nobodys));
    outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
  }
  const here = await outcomeOf(renew(auth, secret));
  const elsewhere = await outcomeOf(renew(auth, secret, "198.51.100.1"));
  auth.clock.advance(1000);
  return [...outcomes, here, elsewhere, await outcomeOf(renew(auth, secret))];
};
const locked = "ResourceExhausted TOO_MANY_FAILED_SECRETS";

test("guesses of a network are bounded before they reach the database; other networks and who waits are served", async () => {
  expect(await guesses()).toEqual([[invalid, 60], [locked, 5], locked, "done", "done"]);
});

test("mutant: uncounted, a network guesses for ever", async () => {
  const definition = await mutantOf(
    "bootstrap/rules.ts",
    "!failed.charge(network)",
    "!failed.charge(crypto.randomUUID())",
  );
  expect((await guesses(definition))[0]).toEqual([invalid, 65]);
});

/** What a service that renewed before is answered among the guesses of its network, and once its secret has ended. */
const amongGuesses = async (definition?: ServiceInfo): Promise<readonly string[]> => {
  await using auth = await startAuth(definition === undefined ? {} : { definition });
  const secret = await issue(auth);
  await renew(auth, secret);
  for (let guess = 0; guess < 61; guess++) await outcomeOf(renew(auth, nobodys));
  const outcomes = [await outcomeOf(renew(auth, secret)), await outcomeOf(renew(auth, secret))];
  await issue(auth);
  for (let time = 0; time < 2; time++) outcomes.push(await outcomeOf(renew(auth, secret)));
  return outcomes;
};
const served = ["done", "done", invalid, locked];

test("guesses of a network keep out no service there that has renewed before; its secret is a guess once it has ended", async () => {
  expect(await amongGuesses()).toEqual(served);
});

test.each([
  ["remembers nobody", "known.set(key, true);", "void known;", 0],
  ["remembers who has ended", "known.delete(key);", "void key;", 3],
])("mutant: one that %s is noticed", async (_, from, to, at) => {
  expect((await amongGuesses(await mutantOf("bootstrap/rules.ts", from, to)))[at]).not.toBe(served[at]);
});

test("services that renew all the time are never taken for guesses", async () => {
  await using auth = await startAuth();
  const secret = await issue(auth);
  for (let time = 0; time < 70; time++) await renew(auth, secret);
});

const verifierOf = (auth: AuthFixture): TokenVerifier =>
  createTokenVerifier({
    issuer: "muin",
    fetchKeys: async () => (await auth.as(AuthService).listKeys({})).keys,
    refused: (why) => new MuinError({ code: "unauthenticated", reason: "REFUSED", message: why }),
    clock: auth.clock,
    log: auth.log,
  });

/** Whose token a verifier takes this for, or why it does not. */
const worth = (verifier: TokenVerifier, token: string): Promise<string> =>
  (async () => verifier.callerOf(token))().then(
    ({ principal }) => principal,
    (error: Error) => error.message,
  );

const hear = (verifier: TokenVerifier, event: object | undefined): void => {
  const { serviceName = "", time } = (event ?? {}) as {
    serviceName?: string;
    time?: Parameters<typeof timestampMs>[0];
  };
  verifier.serviceWithdrawn(serviceName, time === undefined ? 0 : timestampMs(time));
};

/** What a process that is told of the withdrawal makes of the tokens before and after it, though clocks differ. */
const withdrawal = async (definition?: ServiceInfo): Promise<readonly unknown[]> => {
  await using auth = await startAuth(definition === undefined ? {} : { definition });
  const verifier = verifierOf(auth);
  const outcome = (token: string): Promise<string> => worth(verifier, token);
  const secret = await issue(auth);
  const before = await renew(auth, secret);
  const outcomes: unknown[] = [await outcome(before)];
  await withdraw(auth);
  hear(
    verifier,
    (await auth.events()).find(({ $typeName }) => $typeName === ServiceWithdrawnSchema.typeName),
  );
  outcomes.push(await outcome(before), await outcomeOf(renew(auth, secret)));
  const next = await issue(auth);
  auth.clock.advance(-2000); // The next token is asked for where the clock is a little behind.
  const after = await renew(auth, next);
  outcomes.push(await outcome(after), await outcome(before));
  await withdraw(auth, "user");
  outcomes.push(await auditOf(auth));
  return outcomes;
};
const acts = ["ISSUE_BOOTSTRAP_SECRET", "WITHDRAW_SERVICE"].map((action) => `${action} api_key:k`);
const right = ["service:user", "service withdrawn", invalid, "service:user", "service withdrawn", [...acts, ...acts]];

describe("a withdrawn service", () => {
  test("has no good token, renews none, and begins anew by a new secret, where clocks differ too", async () => {
    expect(await withdrawal()).toEqual(right);
  });

  test.each([
    ["says nothing", "await publishServiceWithdrawn(tx, publish, serviceName, version, nowMs);", "void publish;", 1],
    ["keeps no second", "Math.max(clock.now(), afterSecondOf(kept.withdrawTimeMs))", "clock.now()", 3],
  ])("mutant: one that %s is noticed", async (_, from, to, at) => {
    const outcomes = await withdrawal(await mutantOf("bootstrap/rules.ts", from, to));
    expect(outcomes[at]).not.toEqual(right[at]);
  });

  test("mutant: whose secret stays renews on", async () => {
    const definition = await mutantOf("bootstrap/store-postgres.ts", "SET secret_hash = NULL, version", "SET version");
    expect((await withdrawal(definition))[2]).toBe("done");
  });

  test("withdrawn by a process whose clock is behind loses the tokens of the one ahead", async () => {
    await using auth = await startAuth();
    const secret = await issue(auth);
    await renew(auth, secret);
    const renewedMs = timestampMs((await secretsOf(auth)).bootstrapSecrets[0]!.renewTime!);
    auth.clock.advance(-60_000);
    await withdraw(auth);
    const { bootstrapSecrets } = await secretsOf(auth);
    expect(timestampMs(bootstrapSecrets[0]!.withdrawTime!)).toBeGreaterThanOrEqual(renewedMs);
  });
});

/** What a service's tokens that an operator had issued are worth once it is withdrawn, with a secret or without. */
const issuedTokens = async (definition?: ServiceInfo): Promise<readonly unknown[]> => {
  await using auth = await startAuth(definition === undefined ? {} : { definition });
  const verifier = verifierOf(auth);
  const services = auth.as(ServiceTokenService, { caller: operator });
  let heard = 0;
  const outcomes: unknown[] = [];
  for (const serviceName of ["user", "count-read"]) {
    if (heard === 0) await issue(auth);
    const { token } = await services.issueServiceToken({ serviceName });
    outcomes.push(await worth(verifier, token), await outcomeOf(withdraw(auth, serviceName)));
    const events = (await auth.events()).filter(({ $typeName }) => $typeName === ServiceWithdrawnSchema.typeName);
    for (const event of events.slice(heard)) hear(verifier, event);
    heard = events.length;
    outcomes.push(await worth(verifier, token));
    auth.clock.advance(2000);
  }
  return outcomes;
};

/** What an operator is answered who wants a token of a withdrawn service, how many acts are recorded, and what one is worth after a new secret. */
const issuedAfter = async (definition?: ServiceInfo): Promise<readonly unknown[]> => {
  await using auth = await startAuth(definition === undefined ? {} : { definition });
  const verifier = verifierOf(auth);
  const services = auth.as(ServiceTokenService, { caller: operator });
  await issue(auth);
  await withdraw(auth);
  hear(
    verifier,
    (await auth.events()).find(({ $typeName }) => $typeName === ServiceWithdrawnSchema.typeName),
  );
  const refused = await outcomeOf(services.issueServiceToken({ serviceName: "user" }));
  const acts = await auditOf(auth);
  await issue(auth);
  const { token } = await services.issueServiceToken({ serviceName: "user" });
  return [refused, acts.length, await worth(verifier, token)];
};
const rightly = (service: string) => [`service:${service}`, "done", "service withdrawn"];
const rightOfIssued = [...rightly("user"), ...rightly("count-read")];

describe("a token that an operator had issued", () => {
  test("is not issued while its service is withdrawn, and is good once it has a new secret", async () => {
    expect(await issuedAfter()).toEqual(["FailedPrecondition SERVICE_WITHDRAWN", 2, "service:user"]);
  });

  test.each([
    ["for a withdrawn service", "if (known !== undefined && isWithdrawn(known))", "if (known === null)", 0],
    [
      "within the second of a withdrawal",
      "Math.max(clock.now(), afterSecondOf(known?.withdrawTimeMs))",
      "clock.now()",
      2,
    ],
  ])("mutant: one that is issued %s is noticed", async (_, from, to, at) => {
    const outcomes = await issuedAfter(await mutantOf("token/rules.ts", from, to));
    expect(outcomes[at]).not.toBe(["FailedPrecondition SERVICE_WITHDRAWN", 2, "service:user"][at]);
  });

  test("ends with each withdrawal of its service, of one without a secret too", async () => {
    expect(await issuedTokens()).toEqual(rightOfIssued);
  });

  test.each([
    [
      "for a service that has no secret lives on",
      "bootstrap/rules.ts",
      "        // Another process, whose clock is ahead,",
      "        if (known.secretHash === undefined) return undefined;\n        // Another",
      5,
    ],
    [
      "for a service without a secret cannot be withdrawn",
      "token/rules.ts",
      "await secrets.markRenewed(tx, serviceName, nowMs);",
      "void secrets;",
      4,
    ],
  ])("mutant: one that is issued %s", async (_, path, from, to, at) => {
    const outcomes = await issuedTokens(await mutantOf(path, from, to));
    expect(outcomes[at]).not.toEqual(rightOfIssued[at]);
  });
});
