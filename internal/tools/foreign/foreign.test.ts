/**
 * What programs that know nothing of Muin make of it: a linter, a fuzzer and three generators of clients read its OpenAPI document, promtool
 * its metrics. `bun run soak` has the fuzzer try more.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { startMuin, type TestMuin } from "../../platform/testing/muin.ts";
import { runToEnd } from "../run-program.ts";
import { callByGo, callByPython, callByTypeScript, type ClientTarget } from "./clients.ts";
import { fuzz, type FuzzSize } from "./fuzz.ts";
import { installPythonTools } from "./python-tools.ts";

const root = resolve(import.meta.dir, "../../..");
const inCi = process.env["CI"] !== undefined;
/** Generating and compiling a client, its generator included, in milliseconds. */
const clientMsMax = 5 * 60_000;
const size: FuzzSize =
  process.env["MUIN_SOAK"] === undefined
    ? { phases: "fuzzing", examplesMax: 3, seed: 1, runMsMax: 5 * 60_000 }
    : { phases: "examples,coverage,fuzzing", examplesMax: 50, seed: 1, runMsMax: 60 * 60_000 };

/** Where the programs of Python lie, or why there are none. */
const python = await installPythonTools().then(
  (bin) => ({ bin, missing: false }),
  (error: unknown) => ({ bin: "", missing: true, error }),
);
const isWithoutPython = python.missing && !inCi;
const isWithoutGo = Bun.which("go") === null && !inCi;
const isWithoutPromtool = Bun.which("promtool") === null && !inCi;

let muin: TestMuin;
let target: ClientTarget;
let folder: string;
beforeAll(async () => {
  if (inCi && python.missing) throw new Error("the programs of Python cannot be installed", { cause: python });
  folder = await mkdtemp(join(tmpdir(), "muin-foreign-"));
  muin = await startMuin();
  const document = join(folder, "openapi.json");
  await Bun.write(document, await (await fetch(`${muin.http}/openapi.json`)).text());
  target = { document, http: muin.http, key: muin.operatorKey };
});
afterAll(async () => {
  await muin?.[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

test("Redocly finds nothing to say against the OpenAPI document", async () => {
  const command = [process.execPath, "--bun", join(root, "node_modules/.bin/redocly"), "lint", target.document];
  const env = { REDOCLY_TELEMETRY: "off", REDOCLY_SUPPRESS_UPDATE_NOTICE: "true" };
  const { code, output } = await runToEnd(command, { mayFail: true, env });
  expect({ code, warnings: /\d+ warning/.exec(output)?.[0], output }).toEqual({ code: 0, warnings: undefined, output });
});

/** A Count made at 1, with 5 added, renamed and deleted, and one that is not there. */
const said = "1 6 Renamed COUNT_STATE_DELETED NOT_FOUND\n";

test(
  "a client generated for TypeScript compiles and calls",
  async () => {
    expect(await callByTypeScript(target)).toBe(said);
  },
  clientMsMax,
);

test.skipIf(isWithoutPython)(
  "a client generated for Python compiles and calls (skipped without pip)",
  async () => {
    expect(await callByPython(python.bin, target)).toBe(said);
  },
  clientMsMax,
);

test.skipIf(isWithoutGo)(
  "a client generated for Go compiles and calls (skipped without go)",
  async () => {
    expect(await callByGo(target)).toBe(said);
  },
  clientMsMax,
);

describe.skipIf(isWithoutPython)("Schemathesis (skipped without pip)", () => {
  let credentials: Readonly<Record<"key" | "person", string>>;
  beforeAll(async () => {
    const { email, password } = muin.facts["admin"] as { email: string; password: string };
    const signIn = { method: "POST", body: JSON.stringify({ email, password }) };
    const reply = await fetch(`${muin.http}/api/v1/auth:signIn`, signIn);
    const { tokens } = (await reply.json()) as { tokens: { accessToken: string } };
    credentials = { key: muin.operatorKey, person: tokens.accessToken };
  });

  test.each([
    ["key", false],
    ["person", false],
    ["key", true],
    ["person", true],
  ] as const)(
    "finds no fault in what a %s may call, what ends its credentials: %p",
    async (whose, enders) => {
      const { passed, tested, output } = await fuzz(
        python.bin,
        { http: muin.http, credentials: credentials[whose], enders },
        size,
      );
      if (!passed) console.log(output);
      expect(passed).toBe(true);
      expect(tested).toBeGreaterThan(enders ? 10 : 80);
    },
    size.runMsMax,
  );
});

test.skipIf(isWithoutPromtool)(
  "promtool finds nothing to say against the metrics (skipped without promtool)",
  async () => {
    const metrics = await (await fetch(`${muin.operator}/metrics`)).text();
    const child = Bun.spawn(["promtool", "check", "metrics"], {
      stdin: Buffer.from(metrics),
      stderr: "pipe",
      stdout: "pipe",
    });
    const [out, err] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
    expect([out + err, await child.exited]).toEqual(["", 0]);
  },
);
