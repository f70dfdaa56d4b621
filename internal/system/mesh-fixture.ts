import { join } from "node:path";
import { authConfig } from "../identity/auth/config.ts";
import type { published } from "../identity/auth/events.ts";
import { createAuthSetup, operatorScopes } from "../identity/auth/setup/rules.ts";
import { systemClock } from "../platform/clock/clock.ts";
import { systemRandom } from "../platform/clock/random.ts";
import { readConfig } from "../platform/config/read-config.ts";
import { createPublish } from "../platform/events/outbox.ts";
import { freePort } from "../platform/local/free-port.ts";
import { openDatabase } from "../platform/postgres/open-database.ts";
import { eventually } from "../platform/testing/eventually.ts";
import type { TestMesh } from "../platform/testing/mesh.ts";
import { runProgram, type TestProgram } from "../platform/testing/muin.ts";

/** Makes a key with all scopes on auth's database, as the first start of an installation does. Auth has migrated it. */
export async function makeOperatorKey(mesh: TestMesh): Promise<string> {
  const database = openDatabase({ url: mesh.storeUrl("auth", "database"), poolMax: 1, applicationName: "test" });
  await database.start();
  try {
    const setup = createAuthSetup({
      database,
      publish: createPublish<typeof published>({
        source: "/muin/auth",
        clock: systemClock,
        random: systemRandom,
        currentTraceparent: () => "",
      }),
      config: readConfig("auth", authConfig, mesh.environment("auth")),
      clock: systemClock,
      random: systemRandom,
    });
    await setup.ensureAdministrator({ email: "admin@localhost", password: "correct horse battery" });
    return (await setup.ensureApiKey({ name: "operator", scopes: operatorScopes, kept: undefined })).secret;
  } finally {
    await database.stop();
  }
}

/** One of several processes of a service, which all have the same stores. */
export interface Instance {
  readonly service: string;
  readonly url: string;
  /** Address of its operator port. */
  readonly operatorUrl: string;
  /** What runs now. */
  program(): TestProgram;
  /** Resolves when it answers that it is ready. */
  isReady(): Promise<void>;
  kill(): Promise<void>;
  /** Starts it again, on the same ports. It was killed. `env` is for this run alone. */
  restart(env?: Readonly<Record<string, string>>): void;
}

async function elsewhere(): Promise<string> {
  return `http://127.0.0.1:${await freePort(systemRandom)}`;
}

/** Starts an instance of a service from its sources. The first stands where the other services look for it, others elsewhere. */
export async function startInstance(
  mesh: TestMesh,
  service: string,
  which: "first" | "other",
  env: Readonly<Record<string, string>> = {},
): Promise<Instance> {
  const url = which === "first" ? mesh.url(service) : await elsewhere();
  const operatorUrl = which === "first" ? mesh.operatorUrl(service) : await elsewhere();
  const command = [process.execPath, "--no-env-file", join(import.meta.dir, `../../cmd/${service}/main.ts`)];
  const ports = { MUIN_HTTP_PORT: new URL(url).port, MUIN_OPERATOR_PORT: new URL(operatorUrl).port };
  const start = (more: Readonly<Record<string, string>> = {}): TestProgram =>
    runProgram(command, {
      cwd: mesh.folder.path,
      env: { ...mesh.environment(service), ...env, ...more, ...ports },
    });
  let program = start();
  return {
    service,
    url,
    operatorUrl,
    program: () => program,
    isReady: () =>
      eventually(
        async () => {
          const answer = await (await fetch(`${url}/readyz`)).text();
          expectReady(answer, program);
        },
        { timeoutMs: 60_000 },
      ),
    kill: () => program.kill(),
    restart: (more) => void (program = start(more)),
  };
}

function expectReady(answer: string, program: TestProgram): void {
  if (answer !== "ready\n") throw new Error(`not ready: ${answer}${program.stdout().slice(-2000)}`);
}
