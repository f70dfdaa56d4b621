import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { readFile } from "node:fs/promises";
import { connect as connectHttp2 } from "node:http2";
import { connect as connectTcp } from "node:net";
import {
  create,
  fromBinary,
  getOption,
  hasOption,
  toBinary,
  type DescMethod,
  type DescMethodStreaming,
  type DescMethodUnary,
  type MessageInitShape,
} from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, createClient, type Transport } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport, createGrpcWebTransport } from "@connectrpc/connect-node";
import { catalog } from "../catalog.ts";
import { http as httpOption } from "../gen/google/api/annotations_pb.ts";
import { ServerReflection, type ServerReflectionRequestSchema } from "../gen/grpc/reflection/v1/reflection_pb.ts";
import { ErrorInfoSchema } from "../gen/google/rpc/error_details_pb.ts";
import { CountManagementService } from "../gen/muin/count/v1/count_management_service_pb.ts";
import { CountWriteService, IncrementRequestSchema } from "../gen/muin/count/v1/count_write_service_pb.ts";
import { ApiKeyService } from "../gen/muin/identity/v1/api_key_service_pb.ts";
import { AuthService } from "../gen/muin/identity/v1/auth_service_pb.ts";
import { ScopeService } from "../gen/muin/identity/v1/scope_service_pb.ts";
import { ServiceTokenService } from "../gen/muin/identity/v1/service_token_service_pb.ts";
import { Role } from "../gen/muin/identity/v1/user_pb.ts";
import { UserService } from "../gen/muin/identity/v1/user_service_pb.ts";
import { OperationsService } from "../gen/muin/platform/v1/operations_service_pb.ts";
import { PersonalDataService } from "../gen/muin/platform/v1/personal_data_service_pb.ts";
import { CallerKind } from "../gen/muin/platform/v1/options_pb.ts";
import { operatorScopes } from "../identity/auth/setup/rules.ts";
import { eventually } from "../platform/testing/eventually.ts";
import { startMuin, type TestMuin } from "../platform/testing/muin.ts";
import { topology } from "../platform/catalog/topology.ts";
import { newBranch, newDevice } from "./device-fixture.ts";
import { policyTable, servicesByMethod, wordsOf, type PolicyRow } from "./policy-table.ts";

setDefaultTimeout(60_000);

let muin: TestMuin;
/** Credentials by what they are. */
interface Credentials {
  /** Holds no scope. */
  readonly person: string;
  /** A token of each service, by its name. */
  readonly services: ReadonlyMap<string, string>;
  /** Not signed: who may call is told before. */
  readonly device: string;
  /** An API key with this scope and no other. */
  readonly keyWith: ReadonlyMap<string, string>;
}
let credentials: Credentials;

function nameOf(method: DescMethod): string {
  return `${method.parent.name}.${method.name}`;
}
const declaredMethods = [...catalog.flatMap(({ serves }) => serves), OperationsService, PersonalDataService].flatMap(
  ({ methods }) => methods,
);
/** The row of a method in the table; a test of the table itself says that the protos say the same. */
const rowOf = (method: DescMethod): PolicyRow => {
  const row = policyTable[nameOf(method)];
  if (row === undefined) throw new Error(`${nameOf(method)} has no row in policy-table.ts`);
  return row;
};
const scopesOf = (method: DescMethod): readonly string[] => wordsOf(rowOf(method).scopes);
const admits = (method: DescMethod, kind: CallerKind): boolean =>
  wordsOf(rowOf(method).callers).includes(kindNames.get(kind) ?? "");
const kindNames: ReadonlyMap<CallerKind, string> = new Map([
  [CallerKind.PERSON, "person"],
  [CallerKind.API_KEY, "api_key"],
  [CallerKind.DEVICE, "device"],
  [CallerKind.SERVICE, "service"],
]);
/** RPCs for services alone: in one process with all services, nobody outside can tell that there are any. */
const internalMethods = Object.entries(policyTable)
  .filter(([, { callers }]) => callers === "service")
  .map(([name]) => name)
  .toSorted();
const methods = declaredMethods.filter((method) => !internalMethods.includes(nameOf(method)));
const closed = methods.filter((method) => rowOf(method).callers !== "anybody");
const scopes = [...new Set(methods.flatMap(scopesOf))].toSorted();

beforeAll(async () => {
  muin = await startMuin();
  const { userId, tokens } = await muin.signUp({ email: "person@example.com", password: "a long enough secret" });
  const services = new Map<string, string>();
  for (const { name } of catalog) {
    services.set(name, (await muin.client(ServiceTokenService).issueServiceToken({ serviceName: name })).token);
  }
  const keys = muin.client(ApiKeyService);
  const keyWith = new Map<string, string>();
  for (const scope of scopes) {
    keyWith.set(scope, (await keys.createApiKey({ displayName: scope, scopes: [scope] })).secret);
  }
  const { token: device } = await newDevice(muin, await newBranch(muin, userId));
  credentials = { person: tokens.accessToken, services, device, keyWith };
});
afterAll(() => muin[Symbol.asyncDispose]());

/** Calls a method with a request that is not valid, and says how it was refused. */
type Lane = (method: DescMethod, key: string | undefined) => Promise<string | undefined>;

function headersOf(key: string | undefined): Record<string, string> {
  return key === undefined ? {} : { authorization: `Bearer ${key}` };
}

function outcomeOf(error: ConnectError): string {
  return `${Code[error.code]} ${error.findDetails(ErrorInfoSchema)[0]?.reason ?? ""}`;
}

function byTransport(transportOf: () => Transport): Lane {
  return async (method, key) => {
    const transport = transportOf();
    const header = headersOf(key);
    let leaving: AbortController | undefined;
    try {
      if (method.methodKind === "unary") {
        await transport.unary(method as DescMethodUnary, undefined, 10_000, header, {});
      } else {
        const input = (async function* () {
          yield create(method.input);
        })();
        // The library's clients tell nobody of a stream that is left before its end.
        const { signal } = (leaving = new AbortController());
        const { message } = await transport.stream(method as DescMethodStreaming, signal, 10_000, header, input);
        for await (const _ of message) return "Ok ";
      }
      return "Ok ";
    } catch (error) {
      return outcomeOf(ConnectError.from(error));
    } finally {
      leaving?.abort();
    }
  };
}

/** Calls of a connection: a stranger has not many connections, and one on which a hundred calls were refused ends. */
const callsOfConnectionMax = 50;

/** Makes the next transport, and with it a connection, once the present one has made its calls. */
function shared(make: () => Transport): () => Transport {
  let calls = 0;
  let transport: Transport | undefined;
  return () => {
    if (transport === undefined || calls % callsOfConnectionMax === 0) transport = make();
    calls += 1;
    return transport;
  };
}

/** Connect with a body that is no JSON: whoever may not call does not learn so. */
const garbage: Lane = async (method, key) => {
  if (method.methodKind !== "unary") return undefined;
  const response = await fetch(`${muin.http}/${method.parent.typeName}/${method.name}`, {
    method: "POST",
    headers: { "content-type": "application/json", ...headersOf(key) },
    body: "{",
  });
  const { code, details } = (await response.json()) as { code: string; details: { type: string; value: string }[] };
  const info = details.find(({ type }) => type === ErrorInfoSchema.typeName);
  const name = code.replaceAll(/(?:^|_)([a-z])/g, (_, letter: string) => letter.toUpperCase());
  return `${name} ${info === undefined ? "" : fromBinary(ErrorInfoSchema, Buffer.from(info.value, "base64")).reason}`;
};

/** REST on a resource that does not exist, with a body that is no JSON. */
const rest: Lane = async (method, key) => {
  if (!hasOption(method, httpOption)) return undefined;
  const { pattern } = getOption(method, httpOption);
  if (pattern.case === undefined || pattern.case === "custom") throw new Error(`${nameOf(method)} has no path`);
  const response = await fetch(`${muin.http}${pattern.value.replaceAll(/\{[^}]*\}/g, "absent")}`, {
    method: pattern.case.toUpperCase(),
    headers: { "content-type": "application/json", ...headersOf(key) },
    ...(pattern.case === "get" || pattern.case === "delete" ? {} : { body: "{" }),
  });
  if (response.ok) return "Ok ";
  const { error } = (await response.json()) as { error: { status: string; details: { reason?: string }[] } };
  const name = error.status.toLowerCase().replaceAll(/(?:^|_)([a-z])/g, (_, letter: string) => letter.toUpperCase());
  return `${name} ${error.details.find(({ reason }) => reason !== undefined)?.reason ?? ""}`;
};

const lanes: readonly [string, Lane][] = [
  [
    "Connect",
    byTransport(() => createConnectTransport({ baseUrl: muin.http, httpVersion: "1.1", useBinaryFormat: true })),
  ],
  ["gRPC-Web", byTransport(() => createGrpcWebTransport({ baseUrl: muin.http, httpVersion: "1.1" }))],
  ["gRPC", byTransport(shared(() => createGrpcTransport({ baseUrl: `http://${muin.grpc}` })))],
  ["Connect with garbage", garbage],
  ["REST with garbage", rest],
];

describe("every RPC says who may call it, and keeps to it", () => {
  test("there are RPCs of each kind", () => {
    expect(methods.length).toBeGreaterThan(30);
    expect(closed.length).toBeLessThan(methods.length);
    expect(internalMethods).toHaveLength(7);
  });

  test.each(lanes.slice(0, 3))(
    "RPCs for services alone answer as those that there are not, over %s",
    async (_, lane) => {
      const internal = declaredMethods.filter((method) => internalMethods.includes(nameOf(method)));
      expect(internal.map(nameOf).toSorted()).toEqual(internalMethods);
      for (const key of [undefined, muin.operatorKey, credentials.services.get("user")]) {
        for (const method of internal) {
          const absent = { ...method, name: "GetNothing" };
          expect([nameOf(method), await lane(method, key)]).toEqual([nameOf(method), await lane(absent, key)]);
        }
      }
    },
  );

  test("RPCs for services alone answer on both ports with the very words of those that there are not", async () => {
    const internal = declaredMethods.filter((method) => internalMethods.includes(nameOf(method)));
    const key = credentials.services.get("user");
    for (const method of internal) {
      for (const ask of [postTo, getFrom, overGrpc]) {
        const [answer, absent] = [await ask(method.name, method, key), await ask("GetNothing", method, key)];
        expect([nameOf(method), answer]).toEqual([nameOf(method), absent.replaceAll("GetNothing", method.name)]);
      }
    }
  });

  test("neither reflection nor OpenAPI tells of RPCs for services alone", async () => {
    const openApi = await (await fetch(`${muin.http}/openapi.json`)).text();
    const reflection = createClient(ServerReflection, createGrpcTransport({ baseUrl: `http://${muin.grpc}` }));
    const headers = { authorization: `Bearer ${muin.apiKey}` };
    const ask = async (
      messageRequest: MessageInitShape<typeof ServerReflectionRequestSchema>["messageRequest"] & {},
    ) => {
      const request = (async function* () {
        yield { messageRequest };
      })();
      const [reply] = await Array.fromAsync(reflection.serverReflectionInfo(request, { headers }));
      return reply!.messageResponse;
    };
    const listed = await ask({ case: "listServices", value: "" });
    const names = listed.case === "listServicesResponse" ? listed.value.service.map(({ name }) => name) : [];
    expect(names).toContain("muin.identity.v1.ApiKeyService");
    const hidden = ["PersonKeyService", "PersonalDataService"];
    expect(names.filter((name) => hidden.some((service) => name.endsWith(`.${service}`)))).toEqual([]);
    for (const method of declaredMethods.filter((each) => internalMethods.includes(nameOf(each)))) {
      expect(openApi).not.toContain(method.name);
      const symbol = `${method.parent.typeName}.${method.name}`;
      expect(await ask({ case: "fileContainingSymbol", value: symbol })).toMatchObject({ case: "errorResponse" });
    }
    const keys = await ask({ case: "fileContainingSymbol", value: "muin.identity.v1.ApiKeyService" });
    const [file] = keys.case === "fileDescriptorResponse" ? keys.value.fileDescriptorProto : [];
    const described = fromBinary(FileDescriptorProtoSchema, file!).service[0]?.method.map(({ name }) => name);
    expect(described).toEqual(["CreateApiKey", "ListApiKeys", "RevokeApiKey"]);
  });

  test.each(lanes)("nobody gets in without credentials, over %s", async (_, lane) => {
    const answers = await all(closed, (method) => lane(method, undefined));
    expect(Object.keys(answers).length).toBeGreaterThan(20);
    expect(answers).toEqual(expected(answers, "Unauthenticated CREDENTIALS_MISSING"));
    const forged = await all(closed, (method) => lane(method, "muin_thisIsNobodysKeyAtAllAndNeverWas0000000000000"));
    expect(forged).toEqual(expected(forged, "Unauthenticated CREDENTIALS_INVALID"));
  });

  test.each(lanes)("no other scope will do, over %s", async (_, lane) => {
    const scoped = closed.filter((method) => scopesOf(method).length > 0);
    expect(scoped.length).toBeGreaterThan(20);
    for (const scope of scopes) {
      const key = credentials.keyWith.get(scope);
      const others = scoped.filter((method) => !scopesOf(method).includes(scope));
      const answers = await all(others, (method) => lane(method, key));
      expect(Object.keys(answers).length).toBeGreaterThan(10);
      expect(answers).toEqual(expected(answers, "PermissionDenied SCOPE_MISSING"));
    }
    const answers = await all(scoped, (method) => lane(method, credentials.person));
    expect(answers).toEqual(expected(answers, "PermissionDenied SCOPE_MISSING"));
  });

  test.each(lanes)("no other kind of caller will do, over %s", async (_, lane) => {
    let refused = 0;
    for (const [kind, key] of [
      [CallerKind.PERSON, credentials.person],
      [CallerKind.API_KEY, muin.operatorKey],
      [CallerKind.SERVICE, credentials.services.get("count-read")],
      [CallerKind.DEVICE, credentials.device],
    ] as const) {
      const others = closed.filter((method) => !admits(method, kind));
      const answers = await all(others, (method) => lane(method, key));
      expect(answers).toEqual(expected(answers, "PermissionDenied CALLER_KIND"));
      refused += Object.keys(answers).length;
    }
    expect(refused).toBeGreaterThan(lane === rest ? 20 : 30);
  });

  test("every RPC x kind of caller x role or scope answers as its policy says", async () => {
    const people = await Promise.all(
      (["MEMBER", "HELPER", "OWNER", "ADMINISTRATOR"] as const).map(async (role): Promise<TableCaller> => {
        const held = role === "ADMINISTRATOR" ? operatorScopes : [];
        return { name: role, kind: CallerKind.PERSON, scopes: held, key: await signedInAs(role, held) };
      }),
    );
    const callers: readonly TableCaller[] = [
      { name: "nobody", kind: undefined, scopes: [], key: undefined },
      ...people,
      { name: "operator's key", kind: CallerKind.API_KEY, scopes: operatorScopes, key: muin.operatorKey },
      ...[...credentials.keyWith].map(([scope, key]) => ({
        name: `key with ${scope}`,
        kind: CallerKind.API_KEY,
        scopes: [scope],
        key,
      })),
      ...[...credentials.services].map(([name, key]) => ({ name, kind: CallerKind.SERVICE, scopes: [], key })),
      { name: "device that does not sign", kind: CallerKind.DEVICE, scopes: [], key: credentials.device },
    ];
    const [, connect] = lanes[0] as (typeof lanes)[number];
    for (const caller of callers) {
      const cells = await all(methods, (method) =>
        (method.methodKind === "unary" ? garbage : connect)(method, caller.key),
      );
      expect([caller.name, cells]).toEqual([
        caller.name,
        Object.fromEntries(methods.map((method) => [nameOf(method), cellOf(method, caller)])),
      ]);
    }
    expect(callers.length * methods.length).toBeGreaterThan(1000);
  });

  test("the topology names the services of each method, as they are written out here", () => {
    const { services, everywhere } = topology(catalog);
    const internal = [...everywhere, ...services.flatMap(({ rpcServices }) => rpcServices)].flatMap((service) =>
      service.methods
        .filter(({ isInternal }) => isInternal)
        .map(({ name }) => `${service.name.split(".").at(-1)}.${name}`),
    );
    expect(internal.toSorted()).toEqual(internalMethods);
    const served = [...everywhere, ...services.flatMap(({ rpcServices }) => rpcServices)].flatMap((service) =>
      service.methods.map((method) => [`${service.name.split(".").at(-1)}.${method.name}`, method.services] as const),
    );
    expect(Object.fromEntries(served.filter(([, callers]) => callers.length > 0))).toEqual(servicesByMethod);
  });

  test("whoever may call is told what is wrong with the request", async () => {
    const answers = await all(
      closed.filter((method) => admits(method, CallerKind.API_KEY)),
      (method) => garbage(method, muin.operatorKey),
    );
    expect(Object.keys(answers).length).toBeGreaterThan(20);
    expect(answers).toEqual(expected(answers, "InvalidArgument REQUEST_MALFORMED"));
  });
});

/** Asks for a method of this name beside `method` by POST over Connect; everything that came back. */
async function postTo(name: string, { parent }: DescMethod, key: string | undefined): Promise<string> {
  const headers = { "content-type": "application/json", ...headersOf(key) };
  return shownOf(await fetch(`${muin.http}/${parent.typeName}/${name}`, { method: "POST", headers, body: "{}" }));
}

/** The same by GET. */
async function getFrom(name: string, { parent }: DescMethod, key: string | undefined): Promise<string> {
  const query = "?connect=v1&encoding=json&message=%7B%7D";
  return shownOf(await fetch(`${muin.http}/${parent.typeName}/${name}${query}`, { headers: headersOf(key) }));
}

async function shownOf(response: Response): Promise<string> {
  const headers = Object.fromEntries(
    [...response.headers].filter(([name]) => !["date", "content-length"].includes(name)),
  );
  return JSON.stringify([response.status, headers, await response.text()]);
}

/** The same over gRPC. */
async function overGrpc(name: string, { parent }: DescMethod, key: string | undefined): Promise<string> {
  const session = connectHttp2(`http://${muin.grpc}`);
  try {
    return await new Promise((resolve, reject) => {
      const stream = session.request({
        ":method": "POST",
        ":path": `/${parent.typeName}/${name}`,
        "content-type": "application/grpc",
        te: "trailers",
        ...headersOf(key),
      });
      const seen: unknown[] = [];
      const see = (headers: Record<string, unknown>): unknown => seen.push({ ...headers, date: undefined });
      stream.on("response", see).on("trailers", see);
      stream.on("data", (data: Buffer) => seen.push(data.toString()));
      stream.on("close", () => resolve(JSON.stringify(seen)));
      stream.on("error", reject);
      stream.end(Buffer.alloc(5));
    });
  } finally {
    session.close();
  }
}

async function all(
  of: readonly DescMethod[],
  call: (method: DescMethod) => Promise<string | undefined>,
): Promise<Record<string, string>> {
  const answers = await Promise.all(
    of.map(async (method): Promise<[string, string | undefined]> => [nameOf(method), await call(method)]),
  );
  return Object.fromEntries(answers.filter((answer): answer is [string, string] => answer[1] !== undefined));
}

/** A column of the table. */
interface TableCaller {
  readonly name: string;
  readonly kind: CallerKind | undefined;
  readonly scopes: readonly string[];
  readonly key: string | undefined;
}

/** Streams whose empty request is one. */
const takenEmpty: ReadonlySet<string> = new Set(["AccessService.WatchEntries"]);

/** What one of them answers: a person sees their own, whoever holds a wider scope sees all. */
function emptyTaken(row: PolicyRow, caller: TableCaller): string {
  const isWide = wordsOf(row.wider).some((scope) => caller.scopes.includes(scope));
  return caller.kind === CallerKind.PERSON || isWide ? "Ok " : "PermissionDenied ENTRY_FORBIDDEN";
}

/** What a method must answer a caller whose request is no JSON, or of a stream empty, by nothing but its row. */
function cellOf(method: DescMethod, caller: TableCaller): string {
  const row = rowOf(method);
  const isPublic = row.callers === "anybody";
  const mayGoOn = takenEmpty.has(nameOf(method))
    ? emptyTaken(row, caller)
    : `InvalidArgument ${method.methodKind === "unary" ? "REQUEST_MALFORMED" : "FIELD_INVALID"}`;
  if (caller.kind === CallerKind.SERVICE && isPublic) {
    const isDeclared = servicesByMethod[nameOf(method)]?.includes(caller.name) === true;
    return isDeclared ? mayGoOn : "PermissionDenied CALL_NOT_DECLARED";
  }
  const mustSign = row.signed || caller.kind === CallerKind.DEVICE;
  if (isPublic) return mustSign ? "Unauthenticated SIGNATURE_MISSING" : mayGoOn;
  if (caller.kind === undefined) return "Unauthenticated CREDENTIALS_MISSING";
  if (!admits(method, caller.kind)) return "PermissionDenied CALLER_KIND";
  if (mustSign) return "Unauthenticated SIGNATURE_MISSING";
  return scopesOf(method).every((scope) => caller.scopes.includes(scope)) ? mayGoOn : "PermissionDenied SCOPE_MISSING";
}

/** The access token of a new person who has a role, with the scopes that it gives. */
async function signedInAs(name: Exclude<keyof typeof Role, "UNSPECIFIED">, held: readonly string[]): Promise<string> {
  const role = Role[name];
  const account = { email: `${name.toLowerCase()}@example.com`, password: "a long enough secret" };
  const { userId } = await muin.signUp(account);
  const { roleAssignments } = await eventually(async () => {
    const { user } = await muin.client(UserService).assignRole({ userId, assignment: { role } });
    if (user === undefined) throw new Error("there is no person in the reply");
    return user;
  });
  expect(roleAssignments.map((assignment) => assignment.role)).toContain(role);
  await eventually(async () => {
    const { personScopes } = await muin.client(ScopeService).getScopes({ userId });
    expect(personScopes?.scopes).toEqual([...held]);
  });
  const { tokens } = await muin.client(AuthService).signIn(account);
  return tokens?.accessToken ?? "";
}

/** The same answer for every method that was asked. */
function expected(answers: Record<string, string>, outcome: string): Record<string, string> {
  return Object.fromEntries(Object.keys(answers).map((name) => [name, outcome]));
}

/** Five MiB of spaces: more than a request may have. */
const huge = new Uint8Array(5 << 20).fill(0x20);

describe("whatever is thrown at the running process", () => {
  const path = "/muin.count.v1.CountWriteService/Increment";
  const valid = toBinary(IncrementRequestSchema, create(IncrementRequestSchema, { countId: "target", delta: 300n }));
  const truncated = valid.subarray(0, valid.length - 1);
  beforeAll(async () => {
    await muin.client(CountManagementService).createCount({ countId: "target" });
  });

  const post = async (body: string | Uint8Array<ArrayBuffer>, headers: Record<string, string>, to = path) => {
    const response = await fetch(muin.http + to, {
      method: "POST",
      headers: { authorization: `Bearer ${muin.apiKey}`, "content-type": "application/json", ...headers },
      body,
    });
    const { code, error } = (await response.json()) as { code?: string; error?: { status: string } };
    return [response.status, code ?? error?.status];
  };

  test("it answers with the right code, stays well, and its memory bounded", async () => {
    const before = await residentMb();
    const restPath = "/api/v1/counts/target/increment";
    for (let round = 0; round < 20; round += 1) {
      const answers = await Promise.all([
        post('{"countId":', {}),
        post('{"countId":5}', {}),
        post("[".repeat(100_000), {}),
        post(truncated, { "content-type": "application/proto" }),
        post("no gzip", { "content-encoding": "gzip" }),
        post(Bun.gzipSync(huge), { "content-encoding": "gzip" }),
        post(huge, {}),
        post(huge, { "content-type": "application/proto" }),
        post('{"delta":', {}, restPath),
        post(huge, {}, restPath),
      ]);
      expect(answers).toEqual([
        [400, "invalid_argument"],
        [400, "invalid_argument"],
        [400, "invalid_argument"],
        [400, "invalid_argument"],
        [400, "invalid_argument"],
        [429, "resource_exhausted"],
        [429, "resource_exhausted"],
        [429, "resource_exhausted"],
        [400, "INVALID_ARGUMENT"],
        [413, "RESOURCE_EXHAUSTED"],
      ]);
    }
    expect(await grpcStatus(truncated)).toBe(Code.InvalidArgument);
    expect(await grpcStatus(huge)).toBe(Code.ResourceExhausted);
    // 800 MiB came in; what is kept of it is the room of a few requests.
    expect(await residentMb()).toBeLessThan(before + 300);
    await isWell();
  });

  test("header bombs are refused, and requests that are cut off do no harm", async () => {
    const line = `x-bomb: ${"b".repeat(1000)}\r\n`;
    const head = `POST ${path} HTTP/1.1\r\nhost: muin\r\n`;
    for (const raw of [
      `${head}${line.repeat(200)}\r\n`,
      `${head}x-bomb: ${"b".repeat(1 << 20)}\r\n\r\n`,
      `POST /${"a".repeat(1 << 20)} HTTP/1.1\r\nhost: muin\r\n\r\n`,
      "\u0000".repeat(100_000),
    ]) {
      expect(await tcp(raw)).toMatch(/^(HTTP\/1\.1 4\d\d .*)?$/);
    }
    // Announced, begun and never finished.
    await tcp(`${head}content-type: application/json\r\ncontent-length: 1000\r\n\r\n{"coun`, 50);
    await tcp(`${head}content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\nzzz\r\n`);
    const session = connectHttp2(`http://${muin.grpc}`);
    session.on("error", () => undefined); // The stream's error below is the answer.
    const bomb = Object.fromEntries(Array.from({ length: 100 }, (_, index) => [`x-bomb-${index}`, "b".repeat(1000)]));
    const answer = await new Promise((resolve) => {
      const stream = session.request({ ":method": "POST", ":path": path, "content-type": "application/grpc", ...bomb });
      stream.on("response", (headers) => resolve(headers[":status"]));
      stream.on("error", () => resolve("refused"));
      stream.on("close", () => resolve("refused"));
    });
    session.destroy();
    expect(["refused", 431]).toContain(answer as string);
    await isWell();
  });

  async function isWell(): Promise<void> {
    expect((await fetch(`${muin.http}/readyz`)).status).toBe(200);
    const { value } = await muin.client(CountWriteService).increment({ countId: "target" });
    expect(value?.countId).toBe("target");
    expect(await grpcStatus(valid)).toBe(0);
  }

  /** The gRPC status of a unary call with these bytes as its message. */
  async function grpcStatus(message: Uint8Array): Promise<number> {
    const session = connectHttp2(`http://${muin.grpc}`);
    const frame = Buffer.alloc(5 + message.length);
    frame.writeUInt32BE(message.length, 1);
    frame.set(message, 5);
    try {
      return await new Promise((resolve, reject) => {
        const stream = session.request({
          ":method": "POST",
          ":path": path,
          "content-type": "application/grpc",
          te: "trailers",
          authorization: `Bearer ${muin.apiKey}`,
        });
        let status: unknown;
        stream.on("response", (headers) => (status ??= headers["grpc-status"]));
        stream.on("trailers", (headers) => (status = headers["grpc-status"]));
        stream.on("data", () => undefined);
        stream.on("close", () => resolve(Number(status)));
        stream.on("error", (error) => (status === undefined ? reject(error) : undefined));
        stream.end(frame);
      });
    } finally {
      session.close();
    }
  }
});

/** Sends bytes as they are; resolves with the first line of the answer, or "" when the connection was closed. */
function tcp(bytes: string, closeAfterMs?: number): Promise<string> {
  return new Promise((resolve) => {
    const { hostname, port } = new URL(muin.http);
    const socket = connectTcp(Number(port), hostname, () => {
      socket.write(bytes, () => closeAfterMs !== undefined && setTimeout(() => socket.destroy(), closeAfterMs));
    });
    socket.setTimeout(5000, () => socket.destroy(new Error("no answer")));
    socket.once("data", (data) => {
      resolve(data.toString().split("\r\n", 1)[0] ?? "");
      socket.destroy();
    });
    socket.on("error", (error) => resolve(error.message === "no answer" ? error.message : ""));
    socket.on("close", () => resolve(""));
  });
}

async function residentMb(): Promise<number> {
  const status = await readFile(`/proc/${muin.pid}/status`, "utf8");
  return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1]) / 1024;
}
