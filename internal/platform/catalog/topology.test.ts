import { expect, test } from "bun:test";
import { CountCreatedSchema } from "../../gen/muin/count/v1/count_info_events_pb.ts";
import { CountReadService } from "../../gen/muin/count/v1/count_read_service_pb.ts";
import { ApiKeyService } from "../../gen/muin/identity/v1/api_key_service_pb.ts";
import { AuthService } from "../../gen/muin/identity/v1/auth_service_pb.ts";
import { PersonKeyService } from "../../gen/muin/identity/v1/person_key_service_pb.ts";
import { int, secret } from "../config/fields.ts";
import { everyInstance } from "../service/consumption.ts";
import { defineService, type ServiceInfo } from "../service/define-service.ts";
import { rpcs } from "../service/rpcs.ts";
import { folder, postgres, postgresViews, redis } from "../service/stores.ts";
import { createGraph } from "./graph.ts";
import { storeFields } from "./mesh-config.ts";
import { environmentOf, managedStores } from "./managed-stores.ts";
import { topology } from "./topology.ts";

const owner: ServiceInfo = {
  ...defineService({
    name: "info-owner",
    summary: "Owns infos.",
    errors: {},
    personalData: "none",
    serves: [],
    calls: {},
    stores: { own: postgres({ database: "infos", migrations: [] }) },
    publishes: [],
    consumes: [],
    config: {
      pepper: secret("PEPPER", { doc: "Mixed in." }),
      batchMax: int("BATCH_MAX", { doc: "At most so many.", default: 512 }),
    },
    create: () => [],
  }),
  publishes: [CountCreatedSchema],
};
const reader: ServiceInfo = {
  ...owner,
  name: "reader",
  summary: "Reads.",
  serves: [CountReadService],
  hot: [CountReadService.method.getCount],
  calls: { keys: rpcs(ApiKeyService, ["verifyApiKey"]) },
  stores: {
    view: postgresViews({ database: "infos", views: ["v"] }),
    primary: redis("counts", "read-only", { keys: ["c:*"] }),
    replica: redis("counts", "read-only", { keys: ["c:*"], role: "replica" }),
    cache: redis("cache", "read-write", { keys: ["r:*"], durability: "cache" }),
  },
  publishes: [],
  consumes: [everyInstance(CountCreatedSchema)],
  config: {},
};
const plan = topology([owner, reader]);

test("is a plain value", () => {
  expect(JSON.parse(JSON.stringify(plan))).toEqual(plan);
});

test("says of a service how it is reached and how it ends", () => {
  expect(plan.services[0]).toEqual({
    name: "info-owner",
    summary: "Owns infos.",
    binary: "info-owner",
    ports: [
      { name: "http", variable: "MUIN_HTTP_PORT", default: 8080 },
      { name: "grpc", variable: "MUIN_GRPC_PORT", default: 9090 },
      { name: "operator", variable: "MUIN_OPERATOR_PORT", default: 9091 },
    ],
    rpcServices: [],
    calls: [],
    stores: [
      {
        name: "own",
        kind: "postgres",
        at: "infos",
        access: "owner",
        role: "primary",
        parts: ["*"],
        durability: "durable",
        account: "info_owner_data",
        variable: "MUIN_STORE_OWN_URL",
        primary: undefined,
        schemaVariable: "MUIN_STORE_OWN_SCHEMA_URL",
      },
    ],
    publishes: [{ message: "muin.count.v1.CountCreated", topic: "count.info" }],
    consumes: [],
    bus: {
      writes: ["count.info", "platform.heartbeat"],
      reads: ["identity.session", "platform.heartbeat"],
    },
    settings: [
      {
        variable: "MUIN_INFO_OWNER_PEPPER",
        doc: "Mixed in.",
        accepts: "secret text",
        isRequired: true,
        isSecret: true,
      },
      {
        variable: "MUIN_INFO_OWNER_BATCH_MAX",
        doc: "At most so many.",
        accepts: "integer, 0 to 9007199254740991",
        isRequired: false,
        isSecret: false,
      },
    ],
    holdsPersonalData: false,
    collectsPersonalData: false,
    grace: { drainMs: 0, shutdownMs: 5000 },
  });
});

test("says of a service what it reaches, and as whom", () => {
  const [, { stores, calls, consumes }] = plan.services as [unknown, (typeof plan.services)[number]];
  expect(
    stores.map(({ name, at, parts, access, role, durability, account, variable, primary }) => [
      [name, at, parts, access, role, durability, account, variable, primary].join(" "),
    ]),
  ).toEqual([
    ["view infos v read-only primary durable reader_reader MUIN_STORE_VIEW_URL "],
    ["primary counts c:* read-only primary durable reader MUIN_STORE_PRIMARY_URL "],
    ["replica counts c:* read-only replica durable reader MUIN_STORE_REPLICA_URL primary"],
    ["cache cache r:* read-write primary cache reader MUIN_STORE_CACHE_URL "],
  ]);
  expect(calls).toEqual([
    {
      name: "keys",
      rpcService: "muin.identity.v1.ApiKeyService",
      methods: ["VerifyApiKey"],
      callee: undefined,
      variable: "MUIN_CALL_API_KEY_URL",
    },
  ]);
  expect(consumes).toEqual([
    { message: "muin.count.v1.CountCreated", topics: ["count.info"], kind: "everyInstance", publishedBy: undefined },
  ]);
});

test("says of a folder where its service alone finds it, and asks no server for it", () => {
  const keeper: ServiceInfo = { ...owner, name: "keeper", stores: { queue: folder() }, publishes: [] };
  const managed = managedStores([keeper]);
  const [service] = managed.services;
  expect(service?.stores).toEqual([
    {
      name: "queue",
      kind: "folder",
      at: "keeper/queue",
      access: "owner",
      role: "primary",
      parts: ["*"],
      durability: "durable",
      account: "",
      variable: "MUIN_STORE_QUEUE_PATH",
      primary: undefined,
      schemaVariable: undefined,
    },
  ]);
  expect([managed.databases, topology([keeper]).redisServers]).toEqual([[], []]);
  expect(environmentOf(service!, managed)).toContain("MUIN_STORE_QUEUE_PATH=/var/lib/muin/keeper/queue\n");
  expect(createGraph(topology([keeper])).uses).toEqual([{ service: "keeper", store: "keeper/queue", access: "owner" }]);
  const { queue } = storeFields(service!);
  const parsed = ["/var/lib/muin/a b", "relative", "/", "", "/a\0b", "/a "].map((path) => queue?.parse(path));
  expect(parsed).toEqual(["/var/lib/muin/a b", undefined, undefined, undefined, undefined, undefined]);
});

test("says of each method who may call it and how", () => {
  expect(plan.services[1]?.rpcServices).toEqual([
    {
      name: "muin.count.v1.CountReadService",
      variable: "MUIN_CALL_COUNT_READ_URL",
      methods: ["GetCount", "BatchGetCounts"].map((name) => ({
        name,
        path: `/muin.count.v1.CountReadService/${name}`,
        kind: "unary",
        isSafe: true,
        isHot: name === "GetCount",
        policy: {
          isPublic: false,
          callers: ["person", "api_key"],
          scopes: ["counts.read"],
          widerScopes: [],
          isSigned: false,
        },
        services: [],
        isInternal: false,
      })),
    },
  ]);
  expect(plan.scopes).toEqual(["counts.read"]);
});

test("says which services may call a method, and which methods are for services alone", () => {
  const serving: ServiceInfo = { ...owner, name: "serving", serves: [ApiKeyService, PersonKeyService, AuthService] };
  const collecting: ServiceInfo = { ...owner, name: "collecting", publishes: [], personalData: "collected" };
  const { services, everywhere } = topology([
    serving,
    { ...reader, calls: { keys: rpcs(PersonKeyService, ["getPersonKeys"]) } },
    collecting,
  ]);
  const served = [...everywhere, ...services.flatMap(({ rpcServices }) => rpcServices)];
  const called = served.flatMap(({ name, methods }) =>
    methods
      .filter((method) => method.services.length > 0 || method.isInternal)
      .map((method) => [`${name}.${method.name}`, method.isInternal, method.services.join(" ")]),
  );
  expect(called).toEqual([
    ["muin.platform.v1.PersonalDataService.ExportPersonalData", true, "collecting"],
    ["muin.identity.v1.ApiKeyService.VerifyApiKey", true, "serving reader collecting"],
    ["muin.identity.v1.PersonKeyService.GetPersonKeys", true, "reader"],
    ["muin.identity.v1.PersonKeyService.DestroyPersonKey", true, ""],
    ["muin.identity.v1.AuthService.ListKeys", false, "serving reader collecting"],
    ["muin.identity.v1.AuthService.ListRevocations", true, "serving reader collecting"],
  ]);
});

test("says which stores and topics there are", () => {
  expect(plan.databases).toEqual([
    {
      database: "infos",
      schemaRole: "info_owner_schema",
      dataRole: "info_owner_data",
      readers: [{ role: "reader_reader", views: ["v"] }],
    },
  ]);
  expect(
    plan.redisServers.map(({ name, durability, users }) => [name, durability, users.map(({ user }) => user)]),
  ).toEqual([
    ["cache", "cache", ["reader"]],
    ["counts", "durable", ["reader"]],
  ]);
  expect(plan.topics).toEqual([
    {
      name: "count.info",
      partitions: { variable: "MUIN_EVENT_PARTITIONS", default: 4 },
      retentionMs: 604_800_000,
      messages: ["muin.count.v1.CountCreated"],
      publishers: ["info-owner"],
      consumers: [{ service: "reader", kind: "everyInstance" }],
    },
  ]);
});
