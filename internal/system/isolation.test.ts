import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { Redis } from "ioredis";
import postgres from "postgres";
import { catalog } from "../catalog.ts";
import { keysOf } from "../count/shared/key-schema.ts";
import { busUse, publishedTopics } from "../platform/catalog/bus-topics.ts";
import { eventsRights } from "../platform/catalog/bus-rights.ts";
import { topology } from "../platform/catalog/topology.ts";
import { connectBus } from "../platform/events/redis/redis-broker-fixture.ts";
import type { EventRecord } from "../platform/service/event-record.ts";
import { createMuinFolder, startMuin, type MuinFolder, type TestMuin } from "../platform/testing/muin.ts";
import { caught, importMutant } from "../platform/testing/mutant.ts";
import { startRedis } from "../platform/testing/redis.ts";

setDefaultTimeout(60_000);

/** What an account may do on a store. Redis: with a key of the pattern. PostgreSQL: with a table, a view, the schema. */
type Right = "none" | "connects" | "reads" | "writes";

const plan = topology(catalog);

/**
 * The topics on which each service publishes, and those that it reads: written out, so that a declaration that adds one is seen. With the
 * rights of one service nobody can say what another says, nor undo what another has heard.
 */
const bus: Readonly<Record<string, { readonly writes: readonly string[]; readonly reads: readonly string[] }>> = {
  auth: {
    writes: ["erasure.auth", "identity.enrolment", "identity.session", "identity.user", "republish.auth"],
    reads: [
      "face.enrolment",
      "identity.branch",
      "identity.user",
      "republish.branch-owner",
      "republish.mlops",
      "republish.user",
    ],
  },
  user: {
    writes: ["identity.user", "republish.user"],
    reads: [
      "erasure.access",
      "erasure.auth",
      "erasure.branch-owner",
      "erasure.mlops",
      "identity.user",
      "republish.access",
      "republish.auth",
      "republish.branch-owner",
      "republish.mlops",
    ],
  },
  "branch-owner": {
    writes: ["erasure.branch-owner", "identity.branch", "republish.branch-owner"],
    reads: ["identity.user", "republish.access", "republish.auth", "republish.mlops"],
  },
  "count-management": { writes: ["count.info"], reads: ["count.value"] },
  "count-write": { writes: ["count.value"], reads: [] },
  "count-read": { writes: [], reads: ["count.info"] },
  mlops: {
    writes: ["erasure.mlops", "face.enrolment", "republish.mlops"],
    reads: ["identity.branch", "identity.user", "republish.auth"],
  },
  access: {
    writes: ["erasure.access", "face.entry", "republish.access"],
    reads: ["identity.branch", "identity.user"],
  },
};
/** What every process does on the bus beside. */
const busOfAll = { writes: ["platform.heartbeat"], reads: ["identity.session"] };

/** What an account may do on the events server that runs some services: patterns of keys, the widest right first. */
function busCells(account: string, services: readonly string[]): Readonly<Record<string, Right>> {
  const uses = [busOfAll, ...services.map((service) => bus[service] ?? { writes: [], reads: [] })];
  const ofTopics = (use: "writes" | "reads") =>
    uses.flatMap((one) => one[use]).flatMap((topic) => [`events:topic:${topic}`, `events:stream:${topic}:*`]);
  const written = [
    ...ofTopics("writes"),
    ...uses.flatMap(({ writes }) => writes).map((topic) => `events:lease:retention:${topic}`),
    ...services.flatMap((service) => [
      `events:groups:${service}`,
      `events:group:${service}:*`,
      `events:members:${service}:*`,
      `events:parked:${service}:*`,
      `events:parked-keys:${service}:*`,
      `events:redriven:${service}:*`,
      `events:lease:group:${service}:*`,
      `coordination:lease:${service}:*`,
      `coordination:nonce:${service}:*`,
    ]),
    "coordination:lease:heartbeat",
  ];
  const read = ["events:meta", ...ofTopics("reads")].filter((pattern) => !written.includes(pattern));
  return Object.fromEntries([
    ...written.map((pattern): [string, Right] => [`${account} ${pattern}`, "writes"]),
    ...read.map((pattern): [string, Right] => [`${account} ${pattern}`, "reads"]),
  ]);
}

/**
 * Who may do what where, as the catalogue declares it: by store, then by account and, for Redis, key pattern. What is not listed is
 * "none".
 */
const declared: Readonly<Record<string, Readonly<Record<string, Right>>>> = {
  "redis events": busCells("muin", Object.keys(bus)),
  ...Object.fromEntries(plan.redisServers.map(({ name }) => [`redis ${name}`, redisCells(name)])),
  ...Object.fromEntries(
    plan.databases.map(({ database, schemaRole, dataRole, readers }) => [
      `postgres ${database}`,
      Object.fromEntries<Right>([
        [schemaRole, "writes"],
        [dataRole, "writes"],
        ...readers.map(({ role }): [string, Right] => [role, "reads"]),
      ]),
    ]),
  ),
};

function redisCells(server: string): Readonly<Record<string, Right>> {
  const cells = plan.services
    .flatMap(({ stores }) => stores)
    .filter(({ kind, at }) => kind === "redis" && at === server)
    .flatMap(({ account, parts, access }) =>
      parts.map((pattern): [string, Right] => [`${account} ${pattern}`, access === "read-write" ? "writes" : "reads"]),
    );
  return Object.fromEntries(cells);
}

/** Stores that more than one service reaches, on purpose, and how: written out, so that a declaration that adds one is seen. */
const shared: Readonly<Record<string, readonly string[]>> = {
  counts: [
    "count-management read-write count:*",
    "count-read read-only count:store,count:{*}:states,count:{*}:heartbeat",
    "count-write read-write count:*",
  ],
  faces: [
    "access read-only {face}:g:*",
    "access read-write {face}:d:*",
    "mlops read-only {face}:d:*",
    "mlops read-write {face}:g:*",
  ],
  count_info: ["count-management owner *", "count-read read-only count_info_v1"],
};

test("a store is reached by its owner alone, but for those that are shared on purpose", () => {
  const reached = Map.groupBy(
    plan.services.flatMap(({ name, stores }) => stores.map((store) => ({ ...store, name }))),
    ({ at }) => at,
  );
  const several = [...reached].filter(([, stores]) => new Set(stores.map(({ name }) => name)).size > 1);
  const seen = several.map(([at, stores]) => [
    at,
    [...new Set(stores.map(({ name, access, parts }) => `${name} ${access} ${parts.join(",")}`))].toSorted(),
  ]);
  expect(Object.fromEntries(seen) as unknown).toEqual(shared);
});

let folder: MuinFolder;
let muin: TestMuin;
let secrets: Readonly<Record<string, string>>;
let ports: Readonly<Record<string, number>>;
beforeAll(async () => {
  folder = await createMuinFolder();
  muin = await startMuin({ folder });
  secrets = (await Bun.file(`${folder.dataDir}/secrets.json`).json()) as Record<string, string>;
  ports = (await Bun.file(`${folder.dataDir}/ports.json`).json()) as Record<string, number>;
});
afterAll(async () => {
  await muin[Symbol.asyncDispose]();
  await folder[Symbol.asyncDispose]();
});

/** Where the stores of a Muin answer, and what opens them. */
interface Stores {
  port(store: string): number;
  secret(account: string): string | undefined;
}
const stores: Stores = { port: (store) => ports[store] ?? 0, secret: (account) => secrets[account] };

const redisServers = [...plan.redisServers.map(({ name }) => name), "events"];
const redisAccounts = [
  ...plan.redisServers.flatMap(({ users }) => users),
  eventsRights("muin", busUse(catalog, catalog)),
];
const accounts = [...new Set(redisAccounts.map(({ user }) => user))];

/** A key of every declared pattern, every key of a shard whether declared or not, and one of nobody. */
const keys = [
  ...Object.entries(declared)
    .filter(([store]) => store.startsWith("redis "))
    .flatMap(([, rights]) => Object.keys(rights).map((name) => patternOf(name).replaceAll("*", "isolation-test"))),
  ...Object.values(keysOf(0)).flatMap((key) => (typeof key === "function" ? key("isolation-test") : key)),
  "nobody:declared:this",
];

/** What nobody may do, by arguments that the server refuses after it has looked at the account's rights. */
const forbidden = [
  "keys -",
  "scan -",
  "flushall -",
  "flushdb -",
  "replicaof - -",
  "shutdown -",
  "acl list",
  "client list",
];

/** Checks what an account may do on a server: exactly what is declared. */
async function checkRedis(server: string, account: string, at: Stores = stores): Promise<void> {
  const password = at.secret(`redis/${server}/${account}`);
  const rights = Object.entries(declared[`redis ${server}`] ?? {}).filter(([name]) => name.startsWith(`${account} `));
  // An account that is not declared for a server does not exist there, and no password of another server opens it.
  if (rights.length === 0) {
    for (const other of Object.values(secrets)) expect(await login(at, server, account, other)).toBe(false);
    return;
  }
  const connection = connect(at, server, { username: account, password: password ?? "" });
  try {
    for (const key of keys) {
      const right = rights.find(([name]) => matches(patternOf(name), key))?.[1] ?? "none";
      const seen = await rightOn(connection, key);
      expect({ account, server, key, right: seen }).toEqual({ account, server, key, right });
    }
    for (const command of forbidden) {
      const [name = "", ...rest] = command.split(" ");
      expect({ account, server, command, may: await may(connection.call(name, ...rest)) }).toHaveProperty("may", false);
    }
  } finally {
    connection.disconnect();
  }
}

describe("Redis", () => {
  const cells = redisServers.flatMap((server) => accounts.map((account) => ({ server, account })));

  test.each(cells)("on $server, $account may do what is declared", ({ server, account }) =>
    checkRedis(server, account),
  );

  test.each(redisServers)(
    "nobody enters %s without a password, and no account with another server's",
    async (server) => {
      expect(await login(stores, server, "default", "")).toBe(false);
      for (const account of accounts) {
        for (const [name, secret] of Object.entries(secrets)) {
          if (name !== `redis/${server}/${account}`) expect(await login(stores, server, account, secret)).toBe(false);
        }
      }
    },
  );

  // The servers of a Muin have nobody who could widen an account: another has the same accounts and one right more.
  test.each([
    ["may write what it may read", "counts", "count-read", "(~count:{*}:states +@write)"],
    ["may read one more key", "counts", "count-read", "(%R~count:{*}:meta +@read)"],
    ["may read every key", "cache", "count-read", "%R~* +@read"],
    ["may write keys of others", "events", "muin", "(~count:* +@write)"],
    ["may empty the server", "counts", "count-write", "+flushall"],
    ["may list keys", "counts", "count-management", "+keys"],
    ["has a server more", "events", "count-write", "on ~events:* +@read"],
  ])("it is seen when an account %s", async (_, server, account, more) => {
    await using redis = await startRedis();
    const admin = new Redis(redis.url);
    const own = redisAccounts.find((one) => one.server === server && one.user === account)?.rules ?? [];
    const secret = secrets[`redis/${server}/${account}`] ?? Object.values(secrets)[0];
    const at: Stores = { port: () => redis.port, secret: () => secret };
    await admin.call("ACL", "SETUSER", account, "reset", `>${secret}`, ...own);
    if (own.length > 0) await checkRedis(server, account, at);
    await admin.call("ACL", "SETUSER", account, ...rulesOf(more));
    admin.disconnect();
    await caught(() => checkRedis(server, account, at));
  });
});

describe("the bus of a mesh, where each service has an account of its own", () => {
  const names = catalog.map(({ name }) => name);
  const allKeys = [
    ...new Set(names.flatMap((name) => Object.keys(busCells(name, [name]))).map((cell) => patternOf(cell))),
  ].map((pattern) => pattern.replaceAll("*", "isolation-test"));

  /** Of every account and every key what is written out. */
  async function checkBus(rightsOf: typeof eventsRights): Promise<void> {
    await using server = await startBus(rightsOf);
    for (const account of names) {
      const connection = server.as(account);
      const cells = Object.entries(busCells(account, [account]));
      const seen: Record<string, Right> = {};
      const expected: Record<string, Right> = {};
      for (const key of [...allKeys, "events:groups", "events:stream:nobodys:0", "nobody:declared:this"]) {
        seen[key] = await rightOn(connection, key);
        expected[key] = cells.find(([cell]) => matches(patternOf(cell), key))?.[1] ?? "none";
      }
      expect({ account, seen }).toEqual({ account, seen: expected });
    }
  }

  test("an account may do what is written out", () => checkBus(eventsRights));

  test("a stolen account of one service forges no event of another, and undoes nothing of it", async () => {
    await using server = await startBus(eventsRights);
    const stolen = server.as("branch-owner");
    const fields = ["id", "1", "source", "/muin/auth", "type", "muin.identity.v1.SessionRevoked", "subject", "s"];
    await server.admin.xadd("events:stream:identity.session:0", "*", ...fields);
    await server.admin.hset("events:group:user:erasure.auth", "i0", "1-1");
    const before = await server.admin.debug("DIGEST");
    for (const [name, ...args] of [
      ["XADD", "events:stream:identity.session:0", "*", ...fields],
      ["XADD", "events:stream:erasure.auth:0", "*", ...fields],
      ["XADD", "events:stream:count.value:0", "*", ...fields],
      ["XTRIM", "events:stream:identity.user:0", "MAXLEN", "0"],
      ["XDEL", "events:stream:identity.session:0", "1-1"],
      ["DEL", "events:stream:identity.session:0"],
      ["UNLINK", "events:stream:identity.session:0"],
      ["RENAME", "events:stream:identity.branch:0", "events:stream:identity.session:0"],
      ["COPY", "events:stream:identity.branch:0", "events:stream:identity.session:0", "REPLACE"],
      ["HSET", "events:topic:identity.session", "r0", "9"],
      ["HSET", "events:group:user:erasure.auth", "i0", "9-9"],
      ["DEL", "events:parked:user:erasure.auth:0"],
      ["HSET", "events:lease:group:user:erasure.auth:0", "number", "9"],
      ["HSET", "events:lease:retention:identity.session", "number", "9"],
      ["HSET", "coordination:lease:auth:outbox", "number", "9"],
      ["XRANGE", "events:stream:face.enrolment:0", "-", "+"],
      ["EVAL", "return redis.call('XADD', KEYS[1], '*', 'a', 'b')", "1", "events:stream:identity.session:0"],
      ["EVAL", "return redis.call('XADD', ARGV[1], '*', 'a', 'b')", "0", "events:stream:identity.session:0"],
      ["SCRIPT", "FLUSH"],
      ["FUNCTION", "FLUSH"],
    ] as const) {
      const refused = await stolen.call(name, ...args).catch((error: unknown) => String(error));
      expect({ name, args, refused }).toEqual({ name, args, refused: expect.stringMatching(/NOPERM|ACL failure/) });
    }
    // By the platform's own scripts too.
    const broker = connectBus(server.urlOf("branch-owner"), {
      instance: "stolen",
      topics: [{ name: "identity.session", retentionMs: 1 }],
    });
    const refused = await broker
      .publish([{ ...eventOf("auth"), topic: "identity.session" }])
      .catch((error: unknown) => String(error));
    expect(refused).toContain("the event store lets nobody write it from here");
    const replayed = await broker.consumerGroups
      .replay("user", "erasure.auth")
      .catch((error: unknown) => String(error));
    expect(replayed).toMatch(/NOPERM|ACL failure/);
    await broker.stop();
    expect(await server.admin.debug("DIGEST")).toBe(before);
  });

  test("a stolen account of one service keeps no other from starting and publishing", async () => {
    for (const spoil of [
      ["HSET", "events:topic:platform.heartbeat", "partitions", "5"],
      ["SET", "events:topic:platform.heartbeat", "x"],
      ["HSET", "events:topic:identity.user", "partitions", "5"],
    ] as const) {
      await using server = await startBus(eventsRights);
      const [name, ...args] = spoil;
      await server.as("user").call(name, ...args);
      for (const service of names) {
        const topics = catalog.filter((info) => info.name === service).flatMap(publishedTopics);
        const broker = connectBus(server.urlOf(service), {
          instance: service,
          topics,
          sharedTopics: ["identity.user"],
          services: [service],
        });
        await broker.start();
        for (const topic of topics) await broker.publish([{ ...eventOf(service), topic: topic.name }]);
        await broker.stop();
      }
    }
  });

  test.each([
    [
      "writes what it reads",
      "writes.flatMap(keyPatterns.written)",
      "[...writes, ...reads].flatMap(keyPatterns.written)",
    ],
    ["writes what all consumers keep", "services.flatMap(keyPatterns.consumed)", '["*"].flatMap(keyPatterns.consumed)'],
    ["reads every topic", "reads.flatMap(keyPatterns.read)", '["*"].flatMap(keyPatterns.read)'],
    ["holds the leases of all", "leasePattern(service),", 'leaseKey("*"),'],
    ["forgets the signed calls of all", "noncePattern(service)", 'noncePattern("*")'],
  ])("mutant: it is seen when an account %s", async (_, from, to) => {
    const path = join(import.meta.dir, "../platform/catalog/bus-rights.ts");
    const mutant = await importMutant<{ eventsRights: typeof eventsRights }>(path, from, to);
    await caught(() => checkBus(mutant.eventsRights));
  });
});

function eventOf(service: string): Omit<EventRecord, "topic"> {
  return {
    id: "1",
    source: `/muin/${service}`,
    type: "muin.identity.v1.SessionRevoked",
    subject: "s",
    timeMs: 0,
    epoch: 0,
    traceparent: "",
    data: new Uint8Array(),
  };
}

/** A server with the account of every service, whose rights `rightsOf` says. */
async function startBus(rightsOf: typeof eventsRights) {
  const redis = await startRedis();
  const admin = new Redis(redis.url);
  for (const info of catalog) {
    const { rules } = rightsOf(info.name, busUse([info], catalog));
    await admin.call("ACL", "SETUSER", info.name, "reset", ">secret", ...rules);
  }
  const connections = [admin];
  const urlOf = (account: string): string => `redis://${account}:secret@${redis.host}:${redis.port}`;
  return {
    admin,
    urlOf,
    as: (account: string): Redis => {
      const connection = new Redis(urlOf(account), { retryStrategy: () => null });
      connections.push(connection);
      return connection;
    },
    [Symbol.asyncDispose]: async () => {
      for (const connection of connections) connection.disconnect();
      await redis.stop();
    },
  };
}

const { databases } = plan;

/** Checks what a role may do in a database: exactly what is declared. */
async function checkPostgres(database: string, role: string): Promise<void> {
  const right = declared[`postgres ${database}`]?.[role] ?? "none";
  const sql = connectPostgres(database, role, secrets[`postgres/${role}`]);
  try {
    const relations = await sql<{ name: string; reads: boolean; writes: boolean }[]>`
      SELECT n.nspname || '.' || c.relname AS name,
        has_any_column_privilege(c.oid, 'SELECT') AND has_schema_privilege(n.oid, 'USAGE') AS reads,
        has_table_privilege(c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE')
          OR has_any_column_privilege(c.oid, 'INSERT, UPDATE') AS writes
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
      WHERE c.relkind IN ('r', 'v', 'm', 'p') AND n.nspname NOT IN ('pg_catalog', 'information_schema')
        AND n.nspname NOT LIKE 'pg_toast%'`;
    const readable = relations.filter(({ reads }) => reads).map(({ name }) => name);
    const writable = relations.filter(({ writes }) => writes);
    if (right === "reads") {
      const views = databases.flatMap(({ readers }) => readers.find((one) => one.role === role)?.views ?? []);
      expect(readable.map((name) => name.split(".")[1] ?? "")).toEqual([...views]);
      expect(writable).toEqual([]);
    } else {
      expect({ database, role, right }).toEqual({ database, role, right: "writes" });
      expect(writable.length).toBeGreaterThan(0);
      expect(readable).toEqual(relations.map(({ name }) => name));
    }
    const mayCreate = await sql`CREATE TABLE public.isolation_test (x int)`.then(
      () => true,
      () => false,
    );
    if (mayCreate) await sql`DROP TABLE public.isolation_test`;
    expect({ role, mayCreate }).toEqual({ role, mayCreate: role.endsWith("_schema") && right === "writes" });
    const [powers] = await sql<{ any: boolean }[]>`
      SELECT rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls AS any
      FROM pg_roles WHERE rolname = current_user`;
    expect({ role, powers }).toEqual({ role, powers: { any: false } });
  } catch (error) {
    if (!(error instanceof postgres.PostgresError) || error.code !== "42501" || right !== "none") throw error;
    expect(error.message).toContain("permission denied for database");
  } finally {
    await sql.end({ timeout: 1 });
  }
}

describe("PostgreSQL", () => {
  const roles = databases.flatMap(({ schemaRole, dataRole, readers }) => [
    schemaRole,
    dataRole,
    ...readers.map(({ role }) => role),
  ]);
  const cells = [...databases.map(({ database }) => database), "postgres", "template1"].flatMap((database) =>
    [...new Set(roles)].map((role) => ({ database, role })),
  );

  test.each(cells)("in $database, $role may do what is declared", ({ database, role }) =>
    checkPostgres(database, role),
  );

  test.each([
    ["may read a table more", "count_read_reader", "SELECT ON count_info"],
    ["may read one column more", "count_read_reader", "SELECT (count_id) ON count_info"],
    ["may write", "count_read_reader", "INSERT ON count_info_v1"],
    ["may change the schema", "count_management_data", "CREATE ON SCHEMA public"],
    ["may enter a database more", "auth_data", "CONNECT ON DATABASE count_info"],
    ["has the rights of another", "auth_data", "count_management_data"],
  ])("it is seen when a role %s", async (_, role, right) => {
    const admin = connectPostgres("count_info", "postgres", secrets["postgres/admin"]);
    try {
      await admin.unsafe(`GRANT ${right} TO ${role}`);
      await caught(() => checkPostgres("count_info", role));
      await admin.unsafe(`REVOKE ${right} FROM ${role}`);
      await checkPostgres("count_info", role);
    } finally {
      await admin.end({ timeout: 1 });
    }
  });

  test("it is seen when a role may make databases", async () => {
    const admin = connectPostgres("postgres", "postgres", secrets["postgres/admin"]);
    try {
      await admin`ALTER ROLE auth_schema CREATEDB`;
      await caught(() => checkPostgres("auth", "auth_schema"));
      await admin`ALTER ROLE auth_schema NOCREATEDB`;
    } finally {
      await admin.end({ timeout: 1 });
    }
  });
});

/** The pattern of keys in a declared name "account pattern". */
function patternOf(name: string): string {
  return name.slice(name.indexOf(" ") + 1);
}

/** Whether a key is of a pattern, in which only "*" is special. */
function matches(pattern: string, key: string): boolean {
  const parts = pattern.split("*").map((part) => RegExp.escape(part));
  return new RegExp(`^${parts.join(".*")}$`).test(key);
}

/** ACL rules of a line: a selector in parentheses is one. */
function rulesOf(line: string): readonly string[] {
  return line.match(/\([^)]*\)|\S+/g) ?? [];
}

function connectPostgres(database: string, username: string, password: string | undefined): postgres.Sql {
  return postgres({
    host: "127.0.0.1",
    port: stores.port("postgres"),
    database,
    username,
    password: password ?? "",
    max: 1,
    onnotice: () => undefined,
  });
}

function connect(at: Stores, server: string, credentials: { username?: string; password?: string } = {}): Redis {
  const connection = new Redis({
    host: "127.0.0.1",
    port: at.port(`redis/${server}`),
    ...credentials,
    retryStrategy: () => null,
    maxRetriesPerRequest: 0,
    enableReadyCheck: false,
    protocol: 2, // With 3 it says HELLO first, which is refused to who has not entered.
  });
  connection.on("error", () => undefined); // The rejected call carries the error.
  return connection;
}

/** Whether a server lets an account in, whatever it may do there. */
async function login(at: Stores, server: string, account: string, password: string): Promise<boolean> {
  const connection = connect(at, server);
  try {
    await connection.call("AUTH", account, password);
    return true;
  } catch (error) {
    expect(String(error)).toContain("WRONGPASS");
    return false;
  } finally {
    connection.disconnect();
  }
}

/** What a connection may do with a key that holds nothing; the writing command changes nothing. */
async function rightOn(connection: Redis, key: string): Promise<Right> {
  const reads = await may(connection.call("EXISTS", key));
  const writes = await may(connection.call("PERSIST", key));
  return writes ? "writes" : reads ? "reads" : "none";
}

/** Whether the account's rights allow a command; what it is refused for beyond them does not count. */
async function may(command: Promise<unknown>): Promise<boolean> {
  try {
    await command;
    return true;
  } catch (error) {
    if (!(error instanceof Error) || error.name !== "ReplyError") throw error;
    return !error.message.startsWith("NOPERM");
  }
}
