import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import jsQR from "jsqr";
import { AuthService } from "../../../../internal/gen/muin/identity/v1/auth_service_pb.ts";
import { EntryPassService } from "../../../../internal/gen/muin/identity/v1/entry_pass_service_pb.ts";
import { systemClock } from "../../../../internal/platform/clock/clock.ts";
import { MuinError } from "../../../../internal/platform/errors/muin-error.ts";
import { createTokenVerifier } from "../../../../internal/platform/identity/token-verifier.ts";
import { silentLog } from "../../../../internal/platform/events/redis/redis-broker-fixture.ts";
import { eventually } from "../../../../internal/platform/testing/eventually.ts";
import { startMuin, type TestMuin } from "../../../../internal/platform/testing/muin.ts";
import { newBranch } from "../../../../internal/system/device-fixture.ts";

setDefaultTimeout(90_000);

let muin: TestMuin;
let branchId: string;
let userId: string;
let token: string;
beforeAll(async () => {
  muin = await startMuin();
  const account = await muin.signUp({ email: "owner@example.com", password: "a long enough secret" });
  userId = account.userId;
  token = account.tokens.accessToken;
  branchId = await newBranch(muin, userId);
  // Auth learns of the branch by an event.
  await eventually(() => muin.client(EntryPassService, token).issueEntryPass({ branchId }));
});
afterAll(() => muin[Symbol.asyncDispose]());

/** What a camera reads in a picture: `isLight` tells of each module, light ones around them. */
function read(width: number, height: number, isLight: (column: number, row: number) => boolean): string | undefined {
  const scale = 4;
  const pixels = new Uint8ClampedArray(width * scale * height * scale * 4).fill(255);
  for (let y = 0; y < height * scale; y += 1) {
    for (let x = 0; x < width * scale; x += 1) {
      if (isLight(Math.floor(x / scale), Math.floor(y / scale))) continue;
      pixels.fill(0, (y * width * scale + x) * 4, (y * width * scale + x) * 4 + 3);
    }
  }
  return jsQR(pixels, width * scale, height * scale)?.data;
}

/** What a camera reads on a terminal that writes in a light colour on a dark one. */
function readLines(lines: readonly string[]): string | undefined {
  const light = { "█": [true, true], "▀": [true, false], "▄": [false, true], " ": [false, false] };
  return read(lines[0]?.length ?? 0, 2 * lines.length - 1, (column, row) => {
    const block = lines[Math.floor(row / 2)]?.[column] as keyof typeof light;
    return light[block][row % 2] ?? false;
  });
}

/** What a camera reads in a picture. */
function readSvg(svg: string): string | undefined {
  const size = Number(/viewBox="0 0 (\d+) \1"/.exec(svg)?.[1]);
  expect(svg).toContain('fill="#fff"');
  const dark = new Set([...svg.matchAll(/M(\d+) (\d+)h1v1h-1z/g)].map(([, x, y]) => `${x} ${y}`));
  return read(size, size, (column, row) => !dark.has(`${column} ${row}`));
}

/** What a door tells of a pass. */
async function verify(pass: string) {
  const { entryPasses } = createTokenVerifier({
    issuer: "",
    fetchKeys: async () => (await muin.client(AuthService).listKeys({})).keys,
    refused: (why) => new MuinError({ code: "unauthenticated", reason: "REFUSED", message: why }),
    clock: systemClock,
    log: silentLog,
  });
  return entryPasses.verify(pass);
}

test("a pass is issued as a QR code that a camera reads on a terminal of 80 columns, and revoked", async () => {
  const { code, stdout, stderr } = await muin.run("passes", "issue", "--branch", branchId, "--user", userId);
  expect([code, stderr]).toEqual([
    0,
    expect.stringMatching(/^this is entry pass \S+, good once and until \S+ \S+Z\n$/),
  ]);
  const [pass = "", ...lines] = stdout.trimEnd().split("\n");
  expect(lines[0]?.length).toBeLessThanOrEqual(80);
  expect(new Set(lines.map(({ length }) => length)).size).toBe(1);
  expect(readLines(lines)).toBe(pass);
  const passId = /entry pass (\S+),/.exec(stderr)?.[1] ?? "";
  expect(await verify(pass)).toMatchObject({ passId, memberId: userId, branchId });
  expect((await muin.run("passes", "revoke", passId)).stdout).toBe(`revoked ${passId}\n`);
  const again = await muin.run("passes", "revoke", crypto.randomUUID());
  expect([again.code, again.stderr]).toEqual([4, "muin: there is no such entry pass\n"]);
});

test("its picture is a file of its owner's, and a program gets it as JSON", async () => {
  const path = join(muin.folder.path, "pass.svg");
  const args = ["--branch", branchId, "--user", userId, "--minutes", "60", "--svg", path];
  const { stdout } = await muin.run("passes", "issue", ...args, "--json");
  const { pass, expire_time: expireTime } = JSON.parse(stdout) as { pass: string; expire_time: string };
  expect(Date.parse(expireTime) - Date.now()).toBeWithin(59 * 60_000, 60 * 60_000 + 1);
  expect((await stat(path)).mode & 0o777).toBe(0o600);
  const svg = await readFile(path, "utf8");
  expect(readSvg(svg)).toBe(pass);
  const lost = await muin.run("passes", "issue", "--branch", branchId, "--user", userId, "--svg", muin.folder.path);
  expect([lost.code, lost.stderr]).toEqual([
    1,
    expect.stringMatching(/cannot be written: EISDIR; revoke pass \S+, and/),
  ]);
});

test("what cannot be issued says why", async () => {
  const nobody = await muin.run("passes", "issue", "--branch", branchId);
  expect([nobody.code, nobody.stderr]).toEqual([2, "muin: user_id: must name a person, since the caller is none\n"]);
  const long = await muin.run("passes", "issue", "--branch", branchId, "--minutes", "1441");
  expect([long.code, long.stderr]).toEqual([2, expect.stringContaining("from 1 to 1440")]);
  const nowhere = await muin.run("passes", "issue", "--branch", crypto.randomUUID(), "--user", userId);
  expect([nowhere.code, nowhere.stderr]).toEqual([4, expect.stringContaining("there is no branch")]);
});

test("over REST a person gets their own pass, and may not ask for another's", async () => {
  const post = (body: object): Promise<Response> =>
    fetch(`${muin.http}/api/v1/entry-passes`, {
      method: "POST",
      headers: { "content-type": "application/json", authorization: `Bearer ${token}` },
      body: JSON.stringify(body),
    });
  const issued = (await (await post({ branchId })).json()) as { entryPassId: string; pass: string };
  expect(await verify(issued.pass)).toMatchObject({ passId: issued.entryPassId, memberId: userId });
  const refused = await post({ branchId, userId: crypto.randomUUID() });
  expect([refused.status, await refused.text()]).toEqual([403, expect.stringContaining("PASS_FORBIDDEN")]);
  const ended = await fetch(`${muin.http}/api/v1/entry-passes/${issued.entryPassId}`, {
    method: "DELETE",
    headers: { authorization: `Bearer ${token}` },
  });
  expect(ended.status).toBe(200);
});
