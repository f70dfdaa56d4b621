import { expect, test } from "bun:test";
import { join } from "node:path";
import { ApiKeyService } from "../../../gen/muin/identity/v1/api_key_service_pb.ts";
import { systemRandom } from "../../../platform/clock/random.ts";
import { Secret } from "../../../platform/config/fields.ts";
import type { SetupResult } from "../../../platform/service/parts.ts";
import { importMutant } from "../../../platform/testing/mutant.ts";
import { secretHashOf } from "../api-key/secret.ts";
import { newAdministrator, outcomeOf, service, startAuth, type AuthFixture } from "../auth-fixture.ts";
import { takeFirstSteps } from "./first-steps.ts";
import { createAuthSetup } from "./rules.ts";

type Steps = typeof takeFirstSteps;

const minuteMs = 60_000;
const dayMs = 86_400_000;

/** An installation that is started again and again, and keeps what its setup keeps. */
function installation(auth: AuthFixture, steps: Steps, adminPassword = "") {
  const setup = createAuthSetup({ ...auth, random: systemRandom });
  let kept: Readonly<Record<string, string>> = {};
  return {
    start: async (): Promise<SetupResult> => {
      const config = { adminEmail: "boss@localhost", adminPassword: new Secret(adminPassword) };
      const result = await steps(setup, { config, kept, keptIn: "/data/credentials.json" }, systemRandom);
      kept = result.keep;
      return result;
    },
  };
}

const demoOf = ({ keep, show }: SetupResult) => ({ secret: keep["api_key"], row: show.at(-1)?.text ?? "" });
const none = { secret: undefined, row: "none: muin keys create NAME --scope counts.read --scope counts.write" };

/** What the first screen has of the demo key: at the first start and the second, for how long it is live, and twice after it has gone. */
async function lifeOfDemoKey(steps: Steps, end: "by time" | "by revocation") {
  await using auth = await startAuth();
  const muin = installation(auth, steps);
  const first = demoOf(await muin.start());
  const secret = first.secret ?? "";
  const verify = () =>
    outcomeOf(auth.as(ApiKeyService, { caller: service }).verifyApiKey({ secretHash: secretHashOf(secret) }));
  if (end === "by revocation") {
    const keys = auth.as(ApiKeyService, { caller: await newAdministrator(auth) });
    const demo = (await keys.listApiKeys({})).apiKeys.find(({ displayName }) => displayName === "demo");
    await keys.revokeApiKey({ apiKeyId: demo?.apiKeyId ?? "" });
  } else {
    auth.clock.advance(30 * dayMs - minuteMs);
  }
  const second = demoOf(await muin.start());
  const alive = await verify();
  auth.clock.advance(minuteMs);
  const after = [demoOf(await muin.start()), demoOf(await muin.start()), await verify()];
  return { isShown: first.row === secret && secret !== "", second, isSame: second.secret === secret, alive, after };
}

const ended = "Unauthenticated API_KEY_INVALID";
const byTime = { isShown: true, isSame: true, alive: "done", after: [none, none, ended] };
const byRevocation = { isShown: true, second: none, isSame: false, alive: ended, after: [none, none, ended] };

test("the demo key is made at the first start alone and ends after 30 days; then the first screen says how to make one", async () => {
  expect(await lifeOfDemoKey(takeFirstSteps, "by time")).toMatchObject(byTime);
  expect(await lifeOfDemoKey(takeFirstSteps, "by revocation")).toEqual(byRevocation);
});

test.each([
  ["an ended key is printed", "(await setup.isLive(secret)) ? secret", "true ? secret", "by time"],
  ["another is made for one that was revoked", "const demo = isFirst", "const demo = true", "by revocation"],
  ["it ends later", "30 * 86_400_000", "31 * 86_400_000", "by time"],
] as const)("mutant: %s", async (_, from, to, end) => {
  const mutant = await importMutant<{ takeFirstSteps: Steps }>(join(import.meta.dir, "first-steps.ts"), from, to);
  const life = await lifeOfDemoKey(mutant.takeFirstSteps, end);
  expect({ ...life, second: undefined }).not.toEqual({
    ...byRevocation,
    ...(end === "by time" ? byTime : {}),
    second: undefined,
  });
});

/** What a first start prints where it is kept, and every secret that it has. */
async function printed(steps: Steps, password = "") {
  await using auth = await startAuth();
  const { keep, show } = await installation(auth, steps, password).start();
  const rows = show.map(({ text, textForLog = text }) => textForLog);
  return { rows, secrets: [...Object.values(keep), password].filter((secret) => secret !== "") };
}

test("where what is printed is kept, the first screen names the file of the secrets, and holds none", async () => {
  const own = await printed(takeFirstSteps);
  expect(own.rows).toEqual([
    'boss@localhost  password "admin_password" in /data/credentials.json',
    '"api_key" in /data/credentials.json',
  ]);
  expect(own.secrets).toHaveLength(3);
  const given = await printed(takeFirstSteps, "correct horse battery");
  expect(given.rows[0]).toBe("boss@localhost  password as MUIN_ADMIN_PASSWORD says");
  expect(given.secrets).toHaveLength(3); // The password is not kept, and not printed either.
  for (const { rows, secrets } of [own, given]) {
    for (const secret of secrets) expect(rows.join()).not.toContain(secret);
  }
});
