import { getOption, hasOption, type DescMethod, type DescService } from "@bufbuild/protobuf";
import { MethodOptions_IdempotencyLevel } from "@bufbuild/protobuf/wkt";
import { OperationsService } from "../../gen/muin/platform/v1/operations_service_pb.ts";
import { CallerKind, policy as policyOption } from "../../gen/muin/platform/v1/options_pb.ts";
import { RepublishRequestedSchema } from "../../gen/muin/platform/v1/republish_events_pb.ts";
import { PersonalDataService } from "../../gen/muin/platform/v1/personal_data_service_pb.ts";
import type { ConfigField } from "../config/fields.ts";
import { variableOf } from "../config/read-config.ts";
import { retentionMsOf, topicOf } from "../events/topics.ts";
import { isInternal } from "../rpc/call/internal.ts";
import type { ServiceInfo } from "../service/define-service.ts";
import { methodsOf } from "../service/rpcs.ts";
import type { StoreDecl } from "../service/stores.ts";
import { askersOf, busUse, consumedTopics, publishedBy } from "./bus-topics.ts";
import { processConfig } from "./process-config.ts";
import { serviceCallersOf, type ServiceCallers } from "./service-callers.ts";
import { callSetting, folderSetting, schemaSetting, storeSetting } from "./setting-names.ts";
import { postgresRights, postgresRole, redisRights, type PostgresRights, type RedisRights } from "./store-rights.ts";

/**
 * All that the outside must know of a catalogue, as one plain value: it can be printed as JSON, and whatever runs, deploys,
 * routes, watches or tests Muin is derived from it. All lists are in the order of the catalogue unless they say otherwise.
 */
export interface Topology {
  readonly services: readonly ServiceTopology[];
  /** RPC services that every process serves for the services in it. */
  readonly everywhere: readonly RpcServiceTopology[];
  /** Databases, each once, with the roles that reach them. */
  readonly databases: readonly PostgresRights[];
  /** Redis servers that services declare, each once, by name. The events server is the runtime's and not among them. */
  readonly redisServers: readonly RedisServerTopology[];
  /** Topics that are published or consumed, by name. */
  readonly topics: readonly TopicTopology[];
  /** Every scope that a policy names, by name. */
  readonly scopes: readonly string[];
  /** Names of the services that hold data of people. */
  readonly personalDataHolders: readonly string[];
}

/** One service: a binary, its ports, and all that it reaches. */
export interface ServiceTopology {
  readonly name: string;
  /** One sentence. */
  readonly summary: string;
  /** File name of its binary. */
  readonly binary: string;
  readonly ports: readonly PortTopology[];
  readonly rpcServices: readonly RpcServiceTopology[];
  readonly calls: readonly CallTopology[];
  readonly stores: readonly StoreTopology[];
  readonly publishes: readonly { readonly message: string; readonly topic: string }[];
  readonly consumes: readonly ConsumptionTopology[];
  /** Topics that its process writes and reads, what every process does on the bus included. */
  readonly bus: { readonly writes: readonly string[]; readonly reads: readonly string[] };
  /** Variables of its own settings. */
  readonly settings: readonly SettingTopology[];
  readonly holdsPersonalData: boolean;
  /** Whether it brings together what all holders hold of a person. */
  readonly collectsPersonalData: boolean;
  readonly grace: GraceTopology;
}

/** A port that a process listens on. */
export interface PortTopology {
  readonly name: "http" | "grpc" | "operator";
  /** Variable that sets it. */
  readonly variable: string;
  readonly default: number;
}

/** How a process ends, in milliseconds, by default. */
export interface GraceTopology {
  /** How long it stays reachable while not ready. */
  readonly drainMs: number;
  /** How long calls may take to finish after that. */
  readonly shutdownMs: number;
}

/** An RPC service with its methods. */
export interface RpcServiceTopology {
  /** Full name, such as "muin.count.v1.CountReadService". */
  readonly name: string;
  /** Variable of an address of its own, instead of the router's, in processes that call it. */
  readonly variable: string;
  readonly methods: readonly MethodTopology[];
}

/** A method: how it is called and who may. */
export interface MethodTopology {
  readonly name: string;
  /** Request path: `/<service>/<method>`. */
  readonly path: string;
  readonly kind: DescMethod["methodKind"];
  /** Whether it has no side effects, so that it may be repeated freely and cached. */
  readonly isSafe: boolean;
  /** Whether it has a fast path. */
  readonly isHot: boolean;
  /** `undefined` refuses everybody. */
  readonly policy: PolicyTopology | undefined;
  /** Services that may call it: those whose declaration names it, and those for which the platform calls it. */
  readonly services: readonly string[];
  /** Whether services alone may call it: nothing routes to it from outside. */
  readonly isInternal: boolean;
}

/** Who may call a method. */
export interface PolicyTopology {
  readonly isPublic: boolean;
  readonly callers: readonly ("person" | "api_key" | "device" | "service")[];
  /** People and API keys must hold all of them. */
  readonly scopes: readonly string[];
  /** With one of these they may do more than for themselves. */
  readonly widerScopes: readonly string[];
  /** Whether every call must be signed. */
  readonly isSigned: boolean;
}

/** RPCs of one RPC service that a service calls. */
export interface CallTopology {
  /** Name in the declaration. */
  readonly name: string;
  readonly rpcService: string;
  /** Names of the methods, in the order of the proto. */
  readonly methods: readonly string[];
  /** Service that serves it; `undefined` when none of the catalogue does. */
  readonly callee: string | undefined;
  /** Variable of an address of its own, instead of the router's. */
  readonly variable: string;
}

/** A store as one service reaches it. */
export interface StoreTopology {
  /** Name in the declaration. */
  readonly name: string;
  readonly kind: StoreDecl["kind"];
  /** Name of the database, of the Redis server, or of the folder: its service and its name, such as "count-write/queue". */
  readonly at: string;
  readonly access: StoreDecl["access"];
  readonly role: "primary" | "replica";
  /** What of it the service reaches: key patterns of a Redis server, views of another's database, all of its own. */
  readonly parts: readonly string[];
  /** A cache may be empty or away; what is durable must not be lost. */
  readonly durability: "durable" | "cache";
  /** PostgreSQL role or Redis ACL user that the service connects as; "" for a folder, which belongs to who runs the process. */
  readonly account: string;
  /** Variable of its URL, or of a folder's path, in a process of this service alone. */
  readonly variable: string;
  /** Declared store of the same service that stands in when the URL of a replica is not given. */
  readonly primary: string | undefined;
  /** Variable of the URL with the role that owns the schema; `undefined` where the service owns none. */
  readonly schemaVariable: string | undefined;
}

/** A Redis server with its accounts. */
export interface RedisServerTopology {
  readonly name: string;
  readonly durability: "durable" | "cache";
  readonly users: readonly RedisRights[];
}

/** A message that a service consumes. */
export interface ConsumptionTopology {
  readonly message: string;
  /** Several where each service that publishes the message has a topic of its own. */
  readonly topics: readonly string[];
  readonly kind: "group" | "everyInstance";
  /** Service outside the catalogue that publishes it; `undefined` when one of the catalogue does. */
  readonly publishedBy: string | undefined;
}

/** A topic and who uses it. */
export interface TopicTopology {
  readonly name: string;
  /** Variable of the number of its partitions, the same for all topics, and its default. */
  readonly partitions: { readonly variable: string; readonly default: number };
  readonly retentionMs: number;
  /** Full names, by name. */
  readonly messages: readonly string[];
  readonly publishers: readonly string[];
  readonly consumers: readonly { readonly service: string; readonly kind: "group" | "everyInstance" }[];
}

/** A setting of a service. */
export interface SettingTopology {
  readonly variable: string;
  readonly doc: string;
  /** What it accepts, in words. */
  readonly accepts: string;
  readonly isRequired: boolean;
  readonly isSecret: boolean;
}

/** Derives the topology of a catalogue. The catalogue must be sound: see `checkCatalog`. */
export function topology(catalog: readonly ServiceInfo[]): Topology {
  const callers = serviceCallersOf(catalog);
  const services = catalog.map((info) => serviceTopology(info, catalog, callers));
  const methods = services.flatMap(({ rpcServices }) => rpcServices.flatMap((service) => service.methods));
  return {
    services,
    everywhere: servedEverywhere.map((service) => rpcServiceTopology(service, [], callers)),
    databases: postgresRights(catalog),
    redisServers: redisServersOf(catalog),
    topics: topicsIn(catalog),
    scopes: sortedSet(methods.flatMap(({ policy }) => (policy?.scopes ?? []).concat(policy?.widerScopes ?? []))),
    personalDataHolders: services.filter(({ holdsPersonalData }) => holdsPersonalData).map(({ name }) => name),
  };
}

/** What the runtime serves in every process. */
const servedEverywhere = [OperationsService, PersonalDataService];

function serviceTopology(info: ServiceInfo, catalog: readonly ServiceInfo[], callers: ServiceCallers): ServiceTopology {
  const { writes, reads } = busUse([info], catalog);
  return {
    name: info.name,
    summary: info.summary,
    binary: info.name,
    ports: [
      portOf("http", processConfig.httpPort),
      portOf("grpc", processConfig.grpcPort),
      portOf("operator", processConfig.operatorPort),
    ],
    rpcServices: info.serves.map((service) => rpcServiceTopology(service, info.hot, callers)),
    calls: Object.entries(info.calls).map(([name, declared]) => ({
      name,
      rpcService: declared.service.typeName,
      methods: methodsOf(declared).map((method) => method.name),
      callee: catalog.find(({ serves }) => serves.some(({ typeName }) => typeName === declared.service.typeName))?.name,
      variable: variableOf("", callSetting(declared.service.typeName)),
    })),
    stores: Object.entries(info.stores).map(([name, decl]) => storeTopology(info, name, decl)),
    publishes: info.publishes.map((schema) => ({ message: schema.typeName, topic: topicOf(schema, info.name) })),
    consumes: info.consumes.map((consumption) => ({
      message: consumption.schema.typeName,
      topics: consumedTopics(consumption, catalog),
      kind: consumption.kind,
      publishedBy: consumption.publishedBy,
    })),
    bus: { writes, reads },
    settings: Object.values(info.config).map((field) => ({
      variable: variableOf(field.isShared === true ? "" : info.name, field.name),
      doc: field.doc,
      accepts: field.accepts,
      isRequired: field.default === undefined,
      isSecret: field.isSecret === true,
    })),
    holdsPersonalData: info.personalData === "held",
    collectsPersonalData: info.personalData === "collected",
    grace: { drainMs: defaultOf(processConfig.drainMs), shutdownMs: defaultOf(processConfig.shutdownGraceMs) },
  };
}

function portOf(name: PortTopology["name"], field: ConfigField<number>): PortTopology {
  return { name, variable: variableOf("", field.name), default: defaultOf(field) };
}

/** The default of a setting that has one. */
function defaultOf(field: ConfigField<number>): number {
  if (field.default === undefined) throw new Error(`${field.name} has no default`);
  return field.default;
}

function rpcServiceTopology(
  { typeName, methods }: DescService,
  hot: readonly DescMethod[],
  callers: ServiceCallers,
): RpcServiceTopology {
  return {
    name: typeName,
    variable: variableOf("", callSetting(typeName)),
    methods: methods.map((method) => methodTopology(method, hot, callers)),
  };
}

function methodTopology(method: DescMethod, hot: readonly DescMethod[], callers: ServiceCallers): MethodTopology {
  return {
    name: method.name,
    path: `/${method.parent.typeName}/${method.name}`,
    kind: method.methodKind,
    isSafe: method.idempotency === MethodOptions_IdempotencyLevel.NO_SIDE_EFFECTS,
    isHot: hot.includes(method),
    policy: policyTopology(method),
    services: [...callers(method)],
    isInternal: isInternal(method),
  };
}

const callerNames: ReadonlyMap<CallerKind, PolicyTopology["callers"][number]> = new Map([
  [CallerKind.PERSON, "person"],
  [CallerKind.API_KEY, "api_key"],
  [CallerKind.DEVICE, "device"],
  [CallerKind.SERVICE, "service"],
]);

function policyTopology(method: DescMethod): PolicyTopology | undefined {
  if (!hasOption(method, policyOption)) return undefined;
  const policy = getOption(method, policyOption);
  return {
    isPublic: policy.public,
    callers: policy.callers.flatMap((kind) => callerNames.get(kind) ?? []),
    scopes: policy.scopes,
    widerScopes: policy.widerScopes,
    isSigned: policy.signed,
  };
}

function storeTopology(info: ServiceInfo, name: string, decl: StoreDecl): StoreTopology {
  if (decl.kind === "folder") return folderTopology(info, name);
  const common = { name, variable: variableOf("", storeSetting(name)) } as const;
  if (decl.kind === "postgres") {
    return {
      ...common,
      kind: "postgres",
      at: decl.database,
      access: decl.access,
      role: "primary",
      parts: decl.access === "owner" ? ["*"] : decl.views,
      durability: "durable",
      account: postgresRole(info, decl.access),
      primary: undefined,
      schemaVariable: decl.access === "owner" ? variableOf("", schemaSetting(name)) : undefined,
    };
  }
  return {
    ...common,
    kind: "redis",
    at: decl.server,
    access: decl.access,
    role: decl.role,
    parts: decl.keys,
    durability: decl.durability,
    account: info.name,
    primary: primaryOf(info, name),
    schemaVariable: undefined,
  };
}

function folderTopology(info: ServiceInfo, name: string): StoreTopology {
  return {
    name,
    kind: "folder",
    at: `${info.name}/${name}`,
    access: "owner",
    role: "primary",
    parts: ["*"],
    durability: "durable",
    account: "",
    variable: variableOf("", folderSetting(name)),
    primary: undefined,
    schemaVariable: undefined,
  };
}

/** The declared store that stands in for a replica; `undefined` for anything else. */
function primaryOf({ stores }: ServiceInfo, replica: string): string | undefined {
  const decl = stores[replica];
  if (decl?.kind !== "redis" || decl.role !== "replica") return undefined;
  return Object.entries(stores).find(
    ([, other]) => other.kind === "redis" && other.role === "primary" && other.server === decl.server,
  )?.[0];
}

function redisServersOf(catalog: readonly ServiceInfo[]): readonly RedisServerTopology[] {
  const declared = catalog.flatMap(({ stores }) => Object.values(stores).filter((store) => store.kind === "redis"));
  const users = catalog.flatMap(redisRights);
  return sortedSet(declared.map(({ server }) => server)).map((name) => ({
    name,
    durability: declared.some(({ server, durability }) => server === name && durability === "durable")
      ? "durable"
      : "cache",
    users: users.filter(({ server }) => server === name),
  }));
}

function topicsIn(catalog: readonly ServiceInfo[]): readonly TopicTopology[] {
  const { eventPartitions } = processConfig;
  const publishes = catalog.flatMap((info) =>
    publishedBy(info).map((schema) => ({ schema, topic: topicOf(schema, info.name), service: info.name })),
  );
  const consumes = catalog.flatMap((info) => [
    ...info.consumes.flatMap((consumption) => {
      const { schema, kind } = consumption;
      return consumedTopics(consumption, catalog).map((topic) => ({ schema, kind, topic, service: info.name }));
    }),
    ...askersOf(info, catalog).map((asker) => ({
      schema: RepublishRequestedSchema,
      kind: "group" as const,
      topic: topicOf(RepublishRequestedSchema, asker),
      service: info.name,
    })),
  ]);
  const byTopic = Map.groupBy([...publishes, ...consumes], ({ topic }) => topic);
  return sortedSet([...byTopic.keys()]).map((name) => {
    const uses = byTopic.get(name) ?? [];
    const consumers = consumes.filter(({ topic }) => topic === name).map(({ service, kind }) => ({ service, kind }));
    return {
      name,
      partitions: { variable: variableOf("", eventPartitions.name), default: defaultOf(eventPartitions) },
      retentionMs: Math.max(...uses.map(({ schema }) => retentionMsOf(schema))),
      messages: sortedSet(uses.map(({ schema }) => schema.typeName)),
      publishers: [...new Set(publishes.filter(({ topic }) => topic === name).map(({ service }) => service))],
      consumers: catalog.flatMap((info) =>
        sortedSet(consumers.filter(({ service }) => service === info.name).map(({ kind }) => kind)).map((kind) => ({
          service: info.name,
          kind,
        })),
      ),
    };
  });
}

function sortedSet<T extends string>(values: readonly T[]): readonly T[] {
  return [...new Set(values)].toSorted();
}
