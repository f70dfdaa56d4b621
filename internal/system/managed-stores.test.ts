import { beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Redis } from "ioredis";
import postgres from "postgres";
import { catalog } from "../catalog.ts";
import * as real from "../platform/catalog/managed-stores.ts";
import { applySql, createPasswords } from "../platform/testing/mesh.ts";
import { muinCommand, runProgram } from "../platform/testing/muin.ts";
import { caught, importMutant } from "../platform/testing/mutant.ts";
import { startPostgres } from "../platform/testing/postgres.ts";
import { startRedis } from "../platform/testing/redis.ts";

setDefaultTimeout(120_000);

async function print(...args: readonly string[]) {
  const command = [...(await muinCommand("sources")), "config", "stores", ...args];
  await using program = runProgram(command, { cwd: tmpdir() });
  return await program.ended;
}

/** What each role may do in each database once the script has been applied: enter it, and make a table there. */
async function rightsBy({ managedStores, sqlOf }: typeof real): Promise<Record<string, string>> {
  await using server = await startPostgres();
  const fill = createPasswords();
  const managed = managedStores(catalog);
  await applySql(server.adminUrl, fill(sqlOf(managed)));
  const seen: Record<string, string> = {};
  for (const role of roles) {
    for (const database of databases) {
      const url = new URL(server.adminUrl);
      [url.username, url.password, url.pathname] = [role, fill(`{{postgres/${role}}}`), `/${database}`];
      const sql = postgres(url.href, { max: 1, onnotice: () => undefined });
      const may = async (statement: string): Promise<boolean> =>
        sql.unsafe(statement).then(
          () => true,
          (error: unknown) => {
            if ((error as { code?: string }).code === "42501") return false;
            throw error;
          },
        );
      const enters = await may("SELECT 1");
      const makes = enters && (await may("CREATE TABLE public.made (x int)"));
      await sql.end({ timeout: 1 });
      seen[`${role} ${database}`] = makes ? "makes tables" : enters ? "enters" : "none";
    }
  }
  return seen;
}

const databases = ["auth", "users", "branch_owner", "count_info"];
const roles = ["auth", "user", "branch_owner", "count_management"]
  .flatMap((service) => [`${service}_schema`, `${service}_data`])
  .concat("count_read_reader");
const own: Readonly<Record<string, string>> = {
  "auth_schema auth": "makes tables",
  "auth_data auth": "enters",
  "user_schema users": "makes tables",
  "user_data users": "enters",
  "branch_owner_schema branch_owner": "makes tables",
  "branch_owner_data branch_owner": "enters",
  "count_management_schema count_info": "makes tables",
  "count_management_data count_info": "enters",
  "count_read_reader count_info": "enters",
};
const declared = Object.fromEntries(
  roles.flatMap((role) =>
    databases.map((database) => [`${role} ${database}`, own[`${role} ${database}`] ?? "none"] as const),
  ),
);

describe("the SQL for a managed PostgreSQL", () => {
  test("gives each role its own database, by an account that is no superuser", async () => {
    expect(await rightsBy(real)).toEqual(declared);
  });

  test.each([
    ["lets everybody enter", '`REVOKE ALL ON DATABASE "${database}" FROM PUBLIC;`,', ""],
    ["gives readers no way in", "...[dataRole, ...readers.map(roleOf)].map", "...[dataRole].map"],
  ])("a mutant that %s is noticed", async (_, from, to) => {
    const path = join(import.meta.dir, "../platform/catalog/managed-stores.ts");
    const mutant = await importMutant<typeof real>(path, from, to);
    await caught(async () => expect(await rightsBy(mutant)).toEqual(declared));
  });
});

describe("what muin config stores prints", () => {
  let json: {
    redis: { server: string; settings: string[]; acl: string[] }[];
    services: { service: string; env: string[] }[];
  };
  beforeAll(async () => {
    json = JSON.parse((await print("--format", "json")).stdout) as typeof json;
  });

  test("holds no password: each is named, and stands for the same one wherever it is named", async () => {
    const { code, stdout } = await print();
    expect(code).toBe(0);
    const asked = new Set(
      [...stdout.matchAll(/(?:PASSWORD '| >)(.*?)(?:'|$)/gm)].map(([, password]) => password ?? ""),
    );
    expect(asked.size).toBeGreaterThan(20);
    for (const password of asked) expect(password).toMatch(/^\{\{(postgres\/[a-z_]+|redis\/[a-z]+\/[a-z-]+)\}\}$/);
    const lines = json.services.flatMap(({ env }) => env).filter((line) => !/^MUIN_STORE_[A-Z_]+_PATH=\//.test(line));
    const urls = lines.map((line) => /:\/\/[^:]+:(.*)@HOST/.exec(line)?.[1] ?? line);
    expect(urls.filter((password) => !asked.has(password))).toEqual([]);
  });

  test("is a script, an ACL file and an environment by themselves", async () => {
    expect((await print("--format", "sql")).stdout).toStartWith("-- PostgreSQL");
    const { stdout } = await print("--server", "events");
    expect(stdout.trimEnd().split("\n")).toEqual(json.redis.find(({ server }) => server === "events")?.acl ?? []);
    expect((await print("--service", "count-read")).stdout).toContain(
      "MUIN_EVENTS_URL=redis://count-read:{{redis/events/count-read}}@HOST-events:6379\n",
    );
    expect(await print("--server", "none")).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("there are cache, counts, faces, events, coordination") as string,
    });
  });

  test("a Redis server takes its ACL lines and settings", async () => {
    const fill = createPasswords();
    for (const { server, acl, settings } of json.redis) {
      const args = settings.flatMap((line) => `--${line}`.split(" "));
      await using redis = await startRedis({ acl: fill(acl.join("\n")), args });
      for (const line of acl) {
        const user = line.split(" ")[1] ?? "";
        const password = fill(`{{redis/${server}/${user}}}`);
        const connection = new Redis(`redis://${user}:${password}@${redis.host}:${redis.port}`);
        expect(await connection.ping()).toBe("PONG");
        connection.disconnect();
      }
    }
  });
});
