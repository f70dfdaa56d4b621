import { afterEach, describe, expect, mock, spyOn, test } from "bun:test";
import { AuthService } from "../../../gen/muin/identity/v1/auth_service_pb.ts";
import type { ServiceInfo } from "../../../platform/service/define-service.ts";
import { eventually } from "../../../platform/testing/eventually.ts";
import { mutantOf, outcomeOf, startAuth } from "../auth-fixture.ts";
import { auth } from "../definition.ts";
import { postgresLockoutStore } from "../lockout/store-postgres.ts";

const ada = { email: "ada@example.org", password: "correct horse battery" };
const here = "192.0.2.1";
const overloaded = "ResourceExhausted OVERLOADED";
/** On a slow machine too nobody waits for too long. */
const config = { argon2Concurrent: 2, argon2WaitMs: 60_000 };

afterEach(() => mock.restore());

/**
 * Until `open` is called no computation ends; `begun` tells how many have begun. Who is known is told at once: a sign-in by an address
 * that was `asked` for is in the queue before any later call.
 */
function holdComputations() {
  const asked = new Set<string>();
  spyOn(postgresLockoutStore, "isFamiliar").mockImplementation(async (_, email) => {
    asked.add(email);
    return email === ada.email;
  });
  const { promise, resolve: open } = Promise.withResolvers<void>();
  const begun = { count: 0 };
  spyOn(Bun.password, "hash").mockImplementation(async () => {
    begun.count++;
    await promise;
    return "hash";
  });
  spyOn(Bun.password, "verify").mockImplementation(async () => {
    begun.count++;
    await promise;
    return false;
  });
  return { open, begun, asked };
}

/** How many of 22 sign-ins are refused while one client has 80 sign-ups at a time: 11 from its network, 11 from others. */
async function refusedBesideSignUps(definition: ServiceInfo): Promise<number> {
  await using fixture = await startAuth({ definition, config: { ...config, mailsPerNetworkMax: 1000 } });
  const { open, begun, asked } = holdComputations();
  const client = fixture.as(AuthService, { address: here });
  let refused = 0;
  const signUp = async (name: string): Promise<string> => {
    const outcome = await outcomeOf(client.signUp({ ...ada, email: `${name}@example.org` }));
    if (outcome === overloaded) refused++;
    return outcome;
  };
  const signUps = Array.from({ length: 80 }, (_, time) => signUp(`u${time}`));
  await eventually(() => expect([begun.count, refused]).toEqual([2, 46])); // 32 wait.
  const signIns = Array.from({ length: 22 }, (_, time) => {
    const address = time % 2 === 0 ? here : `198.51.100.${time}`;
    return outcomeOf(
      fixture.as(AuthService, { address }).signIn({ email: `in${time}@example.org`, password: "guess" }),
    );
  });
  // As many ask at once; who comes meanwhile does not ask.
  await eventually(() => expect(asked.size).toBeGreaterThanOrEqual(16));
  expect(await signUp("last")).toBe(overloaded); // It comes to the queue after them.
  open();
  const outcomes = await Promise.all(signIns);
  await Promise.all(signUps);
  return outcomes.filter((outcome) => outcome === overloaded).length;
}

/** How Ada's sign-in ends where she signed in before, while neighbours there have taken all that sign-ins of the network may. */
async function knownAmongNeighbours(definition: ServiceInfo): Promise<string> {
  await using fixture = await startAuth({ definition, config });
  const client = fixture.as(AuthService, { address: here });
  await fixture.signUp(ada, { address: here });
  const { open, begun, asked } = holdComputations();
  let refused = 0;
  const guesses = Array.from({ length: 60 }, async (_, time) => {
    const outcome = await outcomeOf(client.signIn({ email: `u${time}@example.org`, password: "guess" }));
    if (outcome === overloaded) refused++;
  });
  await eventually(() => expect([begun.count, refused]).toEqual([2, 26])); // 32 wait.
  const hers = outcomeOf(client.signIn(ada));
  await eventually(() => expect(asked).toContain(ada.email));
  const stranger = outcomeOf(client.signIn({ email: "eve@example.org", password: "guess" }));
  expect(await stranger).toBe(overloaded);
  open();
  await Promise.all(guesses);
  return hers;
}

describe("the queue of passwords", () => {
  test("refuses no sign-in for 80 sign-ups at a time from one client", async () => {
    expect(await refusedBesideSignUps(auth)).toBe(0);
  });

  test("mutant: sign-ups that wait among the sign-ins take their room", async () => {
    const mutant = await mutantOf("newcomer/rules.ts", 'rank: "sign-up"', 'rank: "sign-in"');
    expect(await refusedBesideSignUps(mutant)).toBeGreaterThan(0);
  });

  test("has room for who signed in from a network before, though its neighbours have taken all of theirs", async () => {
    expect(await knownAmongNeighbours(auth)).toBe("Unauthenticated CREDENTIALS_INVALID");
  });

  test("mutant: unknown, she is refused with them", async () => {
    const mutant = await mutantOf(
      "account/password.ts",
      '(await isKnown()) ? "known" : rank',
      "(await isKnown()) ? rank : rank",
    );
    expect(await knownAmongNeighbours(mutant)).toBe(overloaded);
  });
});
