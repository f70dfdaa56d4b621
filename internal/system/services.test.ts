import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { writeFile } from "node:fs/promises";
import { fromBinary, type DescService } from "@bufbuild/protobuf";
import { Code, ConnectError, type Client } from "@connectrpc/connect";
import { CountCheckState, CountManagementService } from "../gen/muin/count/v1/count_management_service_pb.ts";
import { catalog } from "../catalog.ts";
import { CountSource } from "../gen/muin/count/v1/count_pb.ts";
import { CountReadService } from "../gen/muin/count/v1/count_read_service_pb.ts";
import { CountWriteService } from "../gen/muin/count/v1/count_write_service_pb.ts";
import { BranchService } from "../gen/muin/identity/v1/branch_service_pb.ts";
import { ApiKeyService } from "../gen/muin/identity/v1/api_key_service_pb.ts";
import { commentsOf } from "../gen/package-comments.ts";
import { OperationsService } from "../gen/muin/platform/v1/operations_service_pb.ts";
import { AuthService } from "../gen/muin/identity/v1/auth_service_pb.ts";
import { PersonKeyService } from "../gen/muin/identity/v1/person_key_service_pb.ts";
import { CredentialService } from "../gen/muin/identity/v1/credential_service_pb.ts";
import { Role } from "../gen/muin/identity/v1/user_pb.ts";
import { ErasureState, UserService } from "../gen/muin/identity/v1/user_service_pb.ts";
import { ServiceTokenService } from "../gen/muin/identity/v1/service_token_service_pb.ts";
import { topology } from "../platform/catalog/topology.ts";
import { eventually } from "../platform/testing/eventually.ts";
import { binaryOf, connectClient, runProgram, type TestProgram } from "../platform/testing/muin.ts";
import { startMesh, type TestMesh } from "../platform/testing/mesh.ts";
import { openMailbox, signUp, type SignedUp } from "../platform/testing/sign-up.ts";
import { ErrorInfoSchema } from "../gen/google/rpc/error_details_pb.ts";
import { makeOperatorKey } from "./mesh-fixture.ts";
import { servicesByMethod } from "./policy-table.ts";
import { packagesOf } from "../platform/rpc/rest/comments.ts";
import type { TestPostgres } from "../platform/testing/postgres.ts";
import type { TestRedis } from "../platform/testing/redis.ts";
import { expectPromised, untilPromised } from "../platform/testing/promise.ts";

/** A binary per service is compiled and a server per store started before the first test. */
setDefaultTimeout(120_000);

/** Each service is a process of its own, and so is each store. */
let mesh: TestMesh;
let operatorKey: string;
const names = topology(catalog).services.map(({ name }) => name);
const running = new Map<string, TestProgram>();

beforeAll(async () => {
  const [started] = await Promise.all([startMesh(catalog), ...names.map((name) => binaryOf(name))]);
  mesh = started;
  // The first key is made on auth's database; with it come the secrets by which the services get their tokens.
  await start("auth");
  await isReady("auth");
  operatorKey = await makeOperatorKey(mesh);
  const tokens = client("auth", ServiceTokenService);
  for (const name of names) {
    const { secret } = await tokens.issueBootstrapSecret({ serviceName: name });
    await writeFile(mesh.secretFile(name), secret);
  }
  await stop("auth");
});
afterAll(async () => {
  await Promise.all([...running.values()].map((program) => program.kill()));
  await mesh[Symbol.asyncDispose]();
});

async function start(name: string): Promise<void> {
  running.set(name, runProgram([await binaryOf(name)], { cwd: mesh.folder.path, env: mesh.environment(name) }));
  await eventually(async () => expect((await fetch(`${mesh.url(name)}/healthz`)).status).toBe(200), {
    timeoutMs: 20_000,
  });
}

/** Ends a service by SIGTERM, as an orchestrator would. */
async function stop(name: string): Promise<void> {
  const program = running.get(name);
  const end = await program?.stop();
  running.delete(name);
  expect({ name, ...end, shown: end?.code === 0 ? "" : program?.stdout().slice(-3000) }).toMatchObject({
    code: 0,
    shown: "",
  });
  expectPromised(`${name} stops`, 10_000, end?.tookMs ?? Infinity);
}

/** `doesWithout`: what it does without may stand below. */
async function isReady(name: string, doesWithout = false): Promise<void> {
  await eventually(
    async () => {
      const response = await fetch(`${mesh.operatorUrl(name)}/readyz`);
      const text = await response.text();
      expect(`${name}: ${text.slice(0, doesWithout ? "ready\n".length : undefined)}`).toBe(`${name}: ready\n`);
    },
    { timeoutMs: 30_000 },
  );
}

/** A service that does not notice what it lacks says that it is ready within a moment of its start. */
async function staysUnready(name: string): Promise<void> {
  const untilMs = performance.now() + 1500;
  do {
    const response = await fetch(`${mesh.operatorUrl(name)}/readyz`);
    expect({ name, status: response.status, reason: await response.text() }).toEqual({
      name,
      status: 503,
      reason: expect.stringMatching(/^not ready: .*\w{5}/),
    });
    await Bun.sleep(50); // Between two looks, not for anything to happen.
  } while (performance.now() < untilMs);
}

/** Somebody signs up in the process of auth, and verifies their address by the mail. */
function signUpIn(account: Parameters<typeof signUp>[0]): Promise<SignedUp> {
  const mailbox = openMailbox(join(mesh.folder.path, "mail"));
  return signUp(account, {
    auth: client("auth", AuthService),
    credentials: client("auth", CredentialService),
    mailbox,
  });
}

function client<S extends DescService>(name: string, service: S, key = operatorKey): Client<S> {
  return connectClient(service, mesh.url(name), key);
}

async function codeOf(call: Promise<unknown>): Promise<Code | undefined> {
  try {
    await call;
    return undefined;
  } catch (error) {
    return ConnectError.from(error).code;
  }
}

/** Whoever may call learns that this is no JSON. */
const noJson = "{";

/** What an error of Connect says. */
interface Refusal {
  readonly details: readonly { readonly type: string; readonly value: string }[];
}

/** The error in the one message with which a refused stream of Connect ends: a byte of flags, four of length, JSON. */
async function refusalOfStream(response: Response): Promise<Refusal> {
  const { error } = JSON.parse(Buffer.from(await response.arrayBuffer()).toString("utf8", 5)) as { error: Refusal };
  return error;
}

/** Serves while all of its stores are away. */
const alone = new Set(catalog.filter(({ standsAlone }) => standsAlone).map(({ name }) => name));

/** Who cannot do without a store: whoever declares it durable, and its primary or their own, but for who stands alone. */
function needing(kind: "postgres" | "redis", at?: string): readonly string[] {
  return topology(catalog)
    .services.filter(({ name }) => !alone.has(name))
    .filter(({ stores }) =>
      stores.some(
        (store) =>
          store.kind === kind &&
          (at === undefined || store.at === at) &&
          store.durability === "durable" &&
          store.role === "primary" &&
          (kind === "redis" || store.access === "owner"),
      ),
    )
    .map(({ name }) => name);
}

describe("a process for each service", () => {
  test("a binary holds what the protos say of what it serves, and of nothing else", async () => {
    for (const { name, serves } of catalog) {
      const binary = Buffer.from(await Bun.file(await binaryOf(name)).bytes());
      const held: string[] = [];
      for (const [of, load] of Object.entries(commentsOf)) {
        const { comments } = await load();
        const text = Object.values(comments).find((each) => /^[\w ,.]{60,}$/.test(each));
        if (text !== undefined && binary.includes(text)) held.push(of);
      }
      const own = packagesOf([...serves, OperationsService]);
      expect([name, held]).toEqual([name, Object.keys(commentsOf).filter((of) => own.has(of))]);
    }
  });

  test("a Count is made, changed and read in three of them, for whom auth vouches", async () => {
    await Promise.all(names.map(start));
    await Promise.all(names.map((name) => isReady(name)));
    const write = client("count-write", CountWriteService);
    const read = client("count-read", CountReadService);
    const management = client("count-management", CountManagementService);
    await management.createCount({ countId: "far", initialValue: 40n });
    await write.increment({ countId: "far", requestId: "far-away-1" });
    expect(await write.increment({ countId: "far", requestId: "far-away-1" })).toMatchObject({ replayed: true });
    await write.increment({ countId: "far" });
    const { count } = await read.getCount({ countId: "far", maxStaleness: {} });
    expect(count).toMatchObject({ value: { value: 42n, revision: 3n }, source: CountSource.PRIMARY });
    await eventually(async () => {
      const { checks } = await management.verifyCounts({});
      expect(checks).toMatchObject([{ countId: "far", sum: 42n, state: CountCheckState.EQUAL, sinceRevision: 0n }]);
    });
    // Neither does a service serve what is another's.
    expect(
      await codeOf(connectClient(CountWriteService, mesh.url("count-read"), operatorKey).increment({ countId: "far" })),
    ).toBe(Code.Unimplemented);
  });

  test("a service is let in where its declaration says so, and nowhere else", async () => {
    const tokens = client("auth", ServiceTokenService);
    for (const caller of names) {
      const { token } = await tokens.issueServiceToken({ serviceName: caller });
      const cells: string[] = [];
      for (const [of, service] of catalog.flatMap(({ name, serves }) => serves.map((each) => [name, each] as const))) {
        for (const method of service.methods) {
          const isUnary = method.methodKind === "unary";
          const response = await fetch(`${mesh.url(of)}/${service.typeName}/${method.name}`, {
            method: "POST",
            headers: {
              authorization: `Bearer ${token}`,
              "content-type": isUnary ? "application/json" : "application/connect+json",
            },
            body: isUnary ? noJson : Buffer.concat([Buffer.of(0, 0, 0, 0, noJson.length), Buffer.from(noJson)]),
          });
          const { details } = isUnary ? ((await response.json()) as Refusal) : await refusalOfStream(response);
          const info = details.find(({ type }) => type === ErrorInfoSchema.typeName)?.value ?? "";
          const { reason } = fromBinary(ErrorInfoSchema, Buffer.from(info, "base64"));
          if (reason === "REQUEST_MALFORMED") cells.push(`${service.name}.${method.name}`);
          else expect(["CALL_NOT_DECLARED", "CALLER_KIND"]).toContain(reason);
        }
      }
      const declared = Object.entries(servicesByMethod).filter(([name, callers]) => {
        return callers.includes(caller) && !name.startsWith("PersonalDataService.");
      });
      expect([caller, cells.toSorted()]).toEqual([caller, declared.map(([name]) => name).toSorted()]);
    }
  });

  test("a withdrawn service is refused within a second and begins anew by a new secret", async () => {
    const tokens = client("auth", ServiceTokenService);
    const { secret } = await tokens.issueBootstrapSecret({ serviceName: "user" });
    const { token } = await connectClient(ServiceTokenService, mesh.url("auth"), undefined).renewServiceToken({
      secret,
    });
    const keys = connectClient(PersonKeyService, mesh.url("auth"), token);
    await keys.getPersonKeys({ personIds: ["nobody"] });
    await tokens.withdrawService({ serviceName: "user" });
    await untilPromised("a withdrawn service is refused", 1000, async () => {
      const code = await codeOf(keys.getPersonKeys({ personIds: ["nobody"] }));
      expect([undefined, Code.Unauthenticated]).toContain(code);
      return code === Code.Unauthenticated;
    });
    expect(
      await codeOf(connectClient(ServiceTokenService, mesh.url("auth"), undefined).renewServiceToken({ secret })),
    ).toBe(Code.Unauthenticated);
    // The process goes on by the secret that it finds in its file, once it starts again or renews.
    await writeFile(mesh.secretFile("user"), (await tokens.issueBootstrapSecret({ serviceName: "user" })).secret);
    await stop("user");
    await start("user");
    await isReady("user");
  });

  test("a revoked key is refused in every process within a second", async () => {
    const keys = client("auth", ApiKeyService);
    const { apiKey, secret } = await keys.createApiKey({
      displayName: "short",
      scopes: ["counts.read", "counts.write"],
    });
    const calls = [
      () => client("count-write", CountWriteService, secret).increment({ countId: "far" }),
      () => client("count-read", CountReadService, secret).getCount({ countId: "far" }),
      () => client("count-management", CountManagementService, secret).getCountInfo({ countId: "far" }),
    ];
    for (const call of calls) await call();
    await keys.revokeApiKey({ apiKeyId: apiKey?.apiKeyId ?? "" });
    await Promise.all(
      calls.map((call) =>
        untilPromised("a revoked key is refused in every process", 1000, async () => {
          const code = await codeOf(call());
          expect([undefined, Code.Unauthenticated]).toContain(code);
          return code === Code.Unauthenticated;
        }),
      ),
    );
  });

  test("a suspended person is refused in every process within a second, a deleted one is erased in all of them", async () => {
    const account = { email: "ada@example.org", password: "correct horse battery", displayName: "Ada" };
    const { userId } = await signUpIn(account);
    const users = client("user", UserService);
    await eventually(() => users.assignRole({ userId, assignment: { role: Role.ADMINISTRATOR } }));
    const token = await eventually(async () => {
      const { tokens } = await client("auth", AuthService).signIn(account);
      await client("count-read", CountReadService, tokens?.accessToken).getCount({ countId: "far" });
      return tokens?.accessToken ?? "";
    });
    const copy = await client("user", UserService, token).exportUserData({ userId: "me" });
    expect(copy).toMatchObject({
      user: { displayName: "Ada" },
      dataByService: { auth: { email: account.email }, "branch-owner": { displayName: "Ada" } },
    });
    // Otherwise they are the last one, who stays.
    const { userId: eve } = await signUpIn({ ...account, email: "eve@example.org" });
    await eventually(() => users.assignRole({ userId: eve, assignment: { role: Role.ADMINISTRATOR } }));

    await users.suspendUser({ userId, reason: "lost card" });
    const calls = [
      () => client("count-write", CountWriteService, token).increment({ countId: "far" }),
      () => client("count-read", CountReadService, token).getCount({ countId: "far" }),
      () => client("count-management", CountManagementService, token).getCountInfo({ countId: "far" }),
      () => client("branch-owner", BranchService, token).listBranches({}),
      () => client("user", UserService, token).getUser({ userId: "me" }),
      () => client("auth", AuthService, token).listSessions({}),
    ];
    await Promise.all(
      calls.map((call) =>
        untilPromised("a suspended person is refused in every process", 1000, async () => {
          const code = await codeOf(call());
          // branch-owner may have heard of the suspension before it hears of the session's end.
          expect([undefined, Code.PermissionDenied, Code.Unauthenticated]).toContain(code);
          return code === Code.Unauthenticated;
        }),
      ),
    );

    const { erasure } = await users.deleteUser({ userId });
    await eventually(async () => {
      const { erasure: now } = await users.getErasure({ erasureId: erasure?.erasureId ?? "" });
      expect(now?.state).toBe(ErasureState.DONE);
    });
  });

  test("SIGTERM lets calls under way finish", async () => {
    const write = client("count-write", CountWriteService);
    const before = (await client("count-read", CountReadService).getCount({ countId: "far", maxStaleness: {} })).count
      ?.value;
    let acknowledged = 0n;
    let refused: Code | undefined;
    let begun = 0;
    const callers = Array.from({ length: 50 }, async () => {
      while (refused === undefined) {
        begun += 1;
        const code = await codeOf(write.increment({ countId: "far" }, { timeoutMs: 5000 }));
        if (code === undefined) acknowledged += 1n;
        else refused = code;
      }
    });
    await eventually(() => expect(acknowledged).toBeGreaterThan(200n));
    await stop("count-write");
    await Promise.all(callers);
    // Once it listens no longer, a connection is refused: the call never began.
    expect(begun).toBeGreaterThan(Number(acknowledged));
    await start("count-write");
    await isReady("count-write");
    const after = (await client("count-read", CountReadService).getCount({ countId: "far", maxStaleness: {} })).count
      ?.value;
    expect((after?.value ?? 0n) - (before?.value ?? 0n)).toBe(acknowledged);
  });

  const outages: readonly [string, () => TestPostgres | TestRedis | undefined, readonly string[]][] = [
    ["PostgreSQL", () => mesh.postgres, needing("postgres")],
    ["the events Redis", () => mesh.redis.get("events"), names.filter((name) => !alone.has(name))],
    ...topology(catalog).redisServers.map(({ name }): (typeof outages)[number] => [
      `the ${name} Redis`,
      () => mesh.redis.get(name),
      needing("redis", name),
    ]),
  ];
  test.each(outages)(
    "each starts without %s, says whether it can serve, and ends when told to",
    async (_, store, needy) => {
      await Promise.all([...running.keys()].map(stop));
      await store()?.kill("SIGKILL");
      await Promise.all(names.map(start));
      await Promise.all(needy.map(staysUnready));
      // Those that do not need it are ready, once auth has given them its keys.
      if (!needy.includes("auth")) {
        for (const name of names.filter((name) => !needy.includes(name))) await isReady(name, alone.has(name));
      }
      // Told to end while it waits for its store, each ends as cleanly as ever.
      const [first] = needy;
      if (first !== undefined) {
        await stop(first);
        await start(first);
      }
      await store()?.restart();
      await Promise.all(names.map((name) => isReady(name)));
      await client("count-write", CountWriteService).increment({ countId: "far" });
      const { count } = await client("count-read", CountReadService).getCount({ countId: "far", maxStaleness: {} });
      expect(count?.info?.countId).toBe("far");
    },
  );
});
