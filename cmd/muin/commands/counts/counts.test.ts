import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { startMuin, type TestMuin } from "../../../../internal/platform/testing/muin.ts";

// Commands start real processes, and machines are busy; a hang still ends.
setDefaultTimeout(120_000);

let muin: TestMuin;
beforeAll(async () => {
  muin = await startMuin();
});
afterAll(() => muin[Symbol.asyncDispose]());

/** The result of a command that must succeed, as JSON. */
async function json(...args: readonly string[]): Promise<Record<string, unknown>> {
  const { code, stdout, stderr } = await muin.run(...args, "--json");
  if (code !== 0) throw new Error(`muin ${args.join(" ")} exited with ${code}: ${stderr}`);
  return JSON.parse(stdout) as Record<string, unknown>;
}

describe("muin counts", () => {
  test("a Count is created, changed, read, listed, deleted and brought back", async () => {
    const steps: readonly (readonly [code: number, stdout: string | RegExp, ...args: string[]])[] = [
      [
        0,
        "created life.seats with the value 40\n",
        "create",
        "life.seats",
        "--min",
        "0",
        "--max",
        "40",
        "--value",
        "40",
        "--name",
        "Seats",
        "--label",
        "branch=a",
      ],
      [6, "", "create", "life.seats"],
      [6, "", "inc", "life.seats"],
      [0, "37\n", "dec", "life.seats", "3"],
      [0, "38\n", "inc", "life.seats"],
      [0, "5\n", "set", "life.seats", "5"],
      [0, /^life\.seats +5 +4 +primary$/m, "get", "life.seats"],
      [4, /^life\.seats/m, "get", "life.seats", "life.none"],
      [0, /^life\.seats +5 +Seats +branch=a$/m, "list", "--prefix", "life.", "--label", "branch=a"],
      [0, "", "list", "--prefix", "life.", "--label", "branch=b"],
      [0, "deleted life.seats\n", "delete", "life.seats"],
      [6, "", "inc", "life.seats"],
      [0, /^life\.seats/m, "list", "--prefix", "life.", "--state", "deleted"],
      [0, "undeleted life.seats\n", "undelete", "life.seats"],
      [0, "6\n", "inc", "life.seats"],
      [4, "", "inc", "life.none"],
    ];
    for (const [code, stdout, ...args] of steps) {
      const ended = await muin.run("counts", ...args);
      expect({ args, code: ended.code }).toEqual({ args, code });
      if (typeof stdout === "string") expect(ended.stdout).toBe(stdout);
      else expect(ended.stdout).toMatch(stdout);
      if (code !== 0) expect(ended.stderr).toMatch(/^muin: [^\n]+\n$/);
    }
  });

  test("a write with its request id is applied once", async () => {
    await muin.run("counts", "create", "once");
    const first = await json("counts", "inc", "once", "5", "--request-id", "order-8213");
    const again = await json("counts", "inc", "once", "5", "--request-id", "order-8213");
    expect(again).toEqual({ ...first, replayed: true });
    expect(first).toMatchObject({ count_id: "once", value: 5, replayed: false });
    const other = await muin.run("counts", "inc", "once", "6", "--request-id", "order-8213");
    expect(other.code).toBe(2);
  });

  test("the sum of changes equals the value", async () => {
    const { code, stdout } = await muin.run("counts", "verify");
    expect(stdout).toMatch(/^\d+ equal, 0 behind, 0 different$/m);
    expect(code).toBe(0);
  });
});
