import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { eventually } from "../../../internal/platform/testing/eventually.ts";
import { startMuin, type TestMuin } from "../../../internal/platform/testing/muin.ts";

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

describe("commands", () => {
  test("status tells that Muin is ready", async () => {
    const status = await json("status");
    expect(status).toMatchObject({ ready: true, zone_rules_version: "2026f" });
    const { code, stdout } = await muin.run("status");
    expect(code).toBe(0);
    expect(stdout).toContain("is ready");
    expect(stdout).toContain(`Status page and metrics at ${muin.operator}\n`);
    expect(stdout).toContain("Time zones by the IANA rules 2026f\n");
    expect(await (await fetch(muin.operator)).text()).toMatch(/<span>Muin [^<]+, time zones 2026f<\/span>/);
    expect(stdout).toMatch(/^count-write +ready$/m);
    expect(stdout).not.toContain("to set right");
  });

  test("status and its page name a proxy in front that Muin was not told of", async () => {
    await fetch(`${muin.http}/healthz`, { headers: { "x-forwarded-for": "192.0.2.1" } });
    const named = "requests come with X-Forwarded-For, but no proxy is trusted: set MUIN_TRUSTED_HOPS";
    expect((await muin.run("status")).stdout).toContain(`to set right: ${named}`);
    await eventually(async () => expect(await (await fetch(muin.operator)).text()).toContain(named)); // It is shared for a second.
  });

  test("keys are created, used, listed and revoked", async () => {
    const created = (await json("keys", "create", "Shop", "--scope", "counts.read", "--expires", "1d")) as {
      secret: string;
      api_key: { api_key_id: string; owner_id: string; scopes: string[] };
    };
    expect(created.api_key.scopes).toEqual(["counts.read"]);
    expect((await muin.run("keys", "create", "x", "--scope", "counts.read", "--days", "1", "--no-end")).code).toBe(2);
    const endless = await muin.run("keys", "create", "Endless", "--scope", "counts.read", "--no-end");
    expect(endless.stderr).toContain("has no end");
    const env = { MUIN_API_KEY: created.secret };
    await muin.run("counts", "create", "keyed");
    expect(await muin.begin(["counts", "get", "keyed"], { env }).ended).toMatchObject({ code: 0 });
    expect(await muin.begin(["counts", "inc", "keyed"], { env }).ended).toMatchObject({ code: 5 });
    const { stdout: listed } = await muin.run("keys", "list");
    expect(listed).toContain(created.api_key.api_key_id);
    expect(listed).toContain(created.api_key.owner_id);
    expect(listed).toMatch(/Endless .* no end$/m);
    expect((await muin.run("keys", "revoke", created.api_key.api_key_id)).code).toBe(0);
    await eventually(async () =>
      expect(await muin.begin(["counts", "get", "keyed"], { env }).ended).toMatchObject({ code: 5 }),
    );
  });

  test("a service gets its secret and its token, and is withdrawn", async () => {
    const token = (await muin.run("services", "token", "count-write", "--ttl", "5m")).stdout;
    expect(token).toMatch(/^[\w-]+\.[\w-]+\.[\w-]+\n$/);
    expect((await muin.run("services", "secret", "count-write")).stdout).toMatch(/^muin-service_[\w-]{43}\n$/);
    expect((await muin.run("services", "withdraw", "count-write")).code).toBe(0);
    expect((await muin.run("services", "list")).stdout).toMatch(/^count-write +\S+ \S+Z +never +\S+ \S+Z/m);
    expect((await muin.run("services", "withdraw", "nobody")).code).not.toBe(0);
    for (const command of ["secret", "token"]) {
      expect(await muin.run("services", command, "count-wirte")).toMatchObject({
        code: 4,
        stdout: "",
        stderr:
          "muin: there is no service count-wirte; there are auth, user, branch-owner, count-management, count-write, count-read, mlops, access\n",
      });
    }
  });

  test("events are shown as they are published, until interrupted", async () => {
    const tail = muin.begin(["events", "tail", "count.value", "--from-start", "--json"]);
    await muin.run("counts", "create", "tailed", "--value", "3");
    await tail.shows('"tailed"');
    tail.signal("SIGINT");
    const { code, stdout } = await tail.ended;
    expect(code).toBe(0);
    for (const line of stdout.trim().split("\n"))
      expect(JSON.parse(line)).toMatchObject({ type: "muin.count.v1.CountsChanged" });
  });

  test("operators republish, replay and look at dead letters", async () => {
    expect(await json("events", "republish", "count.info")).toEqual({ republished: expect.any(Number) as number });
    expect(await json("events", "replay", "count-management", "count.value")).toEqual({
      generation: expect.any(Number) as number,
    });
    expect(await muin.run("dead-letters", "list")).toMatchObject({ code: 0, stdout: "" });
    expect(await json("dead-letters", "redrive", "count-management")).toEqual({ redriven: 0 });
  });

  test("graph, config and version need no running Muin", async () => {
    expect((await muin.run("graph")).stdout).toMatch(/^count-write$/m);
    expect((await muin.run("graph", "--mermaid")).stdout).toStartWith("flowchart LR\n");
    const shown = await muin.begin(["config"], { env: { MUIN_API_KEY: "muin_very-secret" } }).ended;
    expect(shown.stdout).toContain("MUIN_API_KEY = [redacted] from environment");
    expect(shown.stdout).not.toContain("very-secret");
    const wrong = await muin.begin(["config", "verify"], { env: { MUIN_HTTP_PORT: "x", MUIN_HTP_PORT: "1" } }).ended;
    expect(wrong.code).toBe(1);
    expect(wrong.stdout).toContain("MUIN_HTTP_PORT got");
    expect(wrong.stdout).toContain("is MUIN_HTTP_PORT meant?");
    expect(await json("version")).toMatchObject({ version: expect.stringMatching(/^\d+\.\d+\.\d+/) as string });
  });

  test.each<[code: number, ...args: string[]]>([
    [2, "nonsense"],
    [2, "counts", "inc", "NOT VALID"],
    [2, "counts", "inc", "visits", "0"],
    [2, "counts", "import", "x.log"],
    [2, "counts", "import", "-", "--by", "status"],
    [2, "counts", "import", "/dev/null", "--by", "status", "--prefix", "Status"],
    [1, "counts", "import", "/nonexistent", "--by", "status"],
    [3, "status", "--url", "http://127.0.0.1:1"],
    [3, "status", "--data-dir", "/nonexistent"],
    [2, "status", "--url", "ftp://x"],
    [2, "status", "--url", "http:///127.0.0.1:1"],
    [2, "status", "--url", "http://127.0.0.1:1/?x"],
    [0, "counts", "import", "--help"],
  ])("exits with %d for %s", async (code, ...args) => {
    const ended = await muin.run(...args);
    expect(ended.code).toBe(code);
    expect(ended.stderr).not.toMatch(/\n {4}at /);
  });

  test("the operator key is sent to the local Muin only, a given key where it is told", async () => {
    const seen: (string | null)[] = [];
    using other = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      fetch: (request) => {
        seen.push(request.headers.get("authorization"));
        return new Response("", { status: 404 });
      },
    });
    await muin.run("status", "--url", other.url.href);
    await muin.begin(["status"], { env: { MUIN_URL: other.url.href } }).ended;
    await muin.begin(["status"], { env: { MUIN_URL: other.url.href, MUIN_API_KEY: "muin_given" } }).ended;
    expect(seen).toEqual([null, null, "Bearer muin_given"]);
  });

  test("an address that is not Muin's is told apart", async () => {
    using other = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => new Response("hello", { status: 404 }) });
    const ended = await muin.run("status", "--url", other.url.href);
    expect(ended.code).toBe(1);
    expect(ended.stderr).toContain("not Muin's HTTP address");
  });
});
