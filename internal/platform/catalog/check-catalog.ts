import { getOption, hasOption, ScalarType, type DescMessage, type DescMethod } from "@bufbuild/protobuf";
import { CallerKind, event, EventNature, policy } from "../../gen/muin/platform/v1/options_pb.ts";
import { isState, topicOf, topicsOf } from "../events/topics.ts";
import type { ServiceInfo } from "../service/define-service.ts";
import { methodsOf } from "../service/rpcs.ts";
import { sharedTopics } from "./bus-topics.ts";

/** Messages that the platform itself publishes, beside those of the services. */
const platformTypes: ReadonlySet<string> = new Set(["muin.platform.v1.Heartbeat"]);

/**
 * What is wrong with a catalogue, as sentences; empty when nothing is. Checks what types cannot: names that repeat, an RPC
 * service, a database or a topic with two owners, a call that nobody answers or no service may make, an event that nobody publishes
 * or that has no topic.
 */
export function checkCatalog(catalog: readonly ServiceInfo[]): readonly string[] {
  const problems: string[] = [];
  const names = new Set<string>();
  const servers = new Map<string, string>();
  const databases = new Map<string, string>();
  const published = new Set<string>(platformTypes);
  const claim = (owners: Map<string, string>, what: string, owner: string): void => {
    const other = owners.get(what);
    if (other !== undefined) problems.push(`${what} belongs to both ${other} and ${owner}`);
    owners.set(what, owner);
  };
  for (const info of catalog) {
    if (!/^[a-z][a-z0-9-]{0,31}$/.test(info.name)) problems.push(`"${info.name}" is not a kebab-case service name`);
    if (names.has(info.name)) problems.push(`there are two services named ${info.name}`);
    names.add(info.name);
    for (const service of info.serves) claim(servers, service.typeName, info.name);
    for (const store of Object.values(info.stores)) {
      if (store.kind === "postgres" && store.access === "owner") {
        claim(databases, `database ${store.database}`, info.name);
      }
    }
    for (const schema of info.publishes) {
      published.add(schema.typeName);
      if (!isEvent(schema))
        problems.push(`${info.name} publishes ${schema.typeName}, which has no topic, key and nature in its proto`);
    }
  }
  problems.push(
    ...checkRedisServers(catalog),
    ...checkPersonalData(catalog),
    ...checkTopics(catalog),
    ...checkStates(catalog),
  );
  for (const info of catalog) {
    for (const method of info.hot) {
      const what = `${info.name} names ${method.parent.typeName}.${method.name} hot`;
      if (!info.serves.includes(method.parent)) problems.push(`${what}, which it does not serve`);
      if (method.methodKind !== "unary") problems.push(`${what}, which streams`);
    }
    for (const declared of Object.values(info.calls)) {
      const { typeName } = declared.service;
      if (!servers.has(typeName)) problems.push(`${info.name} calls ${typeName}, which nobody serves`);
      for (const method of methodsOf(declared).filter((called) => !admitsServices(called))) {
        problems.push(`${info.name} calls ${typeName}.${method.name}, which admits no service`);
      }
    }
    for (const { schema, publishedBy } of info.consumes) {
      if (!published.has(schema.typeName) && publishedBy === undefined) {
        problems.push(`${info.name} consumes ${schema.typeName}, which nobody publishes`);
      }
      if (published.has(schema.typeName) && publishedBy !== undefined) {
        problems.push(
          `${info.name} takes ${schema.typeName} for ${publishedBy}'s, but a service of the catalogue publishes it`,
        );
      }
    }
    for (const store of Object.values(info.stores)) {
      if (store.kind === "postgres" && store.access === "read-only" && !databases.has(`database ${store.database}`)) {
        problems.push(`${info.name} reads database ${store.database}, which nobody owns`);
      }
    }
  }
  return problems;
}

/** One service at most collects personal data, and not without anybody who holds some: a deletion would wait for ever. */
function checkPersonalData(catalog: readonly ServiceInfo[]): readonly string[] {
  const collectors = catalog.filter(({ personalData }) => personalData === "collected").map(({ name }) => name);
  if (collectors.length > 1) return [`personal data is collected by both ${collectors.join(" and ")}`];
  const isHeld = catalog.some(({ personalData }) => personalData === "held");
  return collectors.length === 0 || isHeld ? [] : [`${collectors[0]} collects personal data, which nobody holds`];
}

/** What is consumed as state can be told again by each service that publishes it. */
function checkStates(catalog: readonly ServiceInfo[]): readonly string[] {
  const problems: string[] = [];
  for (const { name, consumes } of catalog) {
    for (const { schema } of consumes) {
      if (!isEvent(schema) || !isState(schema)) continue;
      const owners = catalog.filter(({ publishes }) => publishes.some(({ typeName }) => typeName === schema.typeName));
      for (const owner of owners) {
        const topic = topicOf(schema, owner.name);
        if (owner.republishes.some((again) => topicOf(again, owner.name) === topic)) continue;
        problems.push(
          `${name} consumes ${schema.typeName}, a state that ${owner.name} does not tell again: it republishes nothing on ${topic}`,
        );
      }
    }
  }
  return problems;
}

/** One service publishes on a topic. */
function checkTopics(catalog: readonly ServiceInfo[]): readonly string[] {
  const problems: string[] = [];
  const writers = new Map<string, string>();
  for (const info of catalog) {
    const { name } = info;
    for (const topic of topicsOf(info.publishes.filter(isEvent), name)) {
      if (sharedTopics[topic.name]?.includes(name) === true) continue;
      const other = writers.get(topic.name) ?? sharedTopics[topic.name]?.join(" and ");
      if (other !== undefined) problems.push(`topic ${topic.name} belongs to both ${other} and ${name}`);
      writers.set(topic.name, name);
    }
  }
  return problems;
}

/** A Redis server is named well and keeps what it holds, or does not, for all who use it. */
function checkRedisServers(catalog: readonly ServiceInfo[]): readonly string[] {
  const problems: string[] = [];
  const kept = new Map<string, { readonly durability: "durable" | "cache"; readonly by: string }>();
  for (const { name, stores } of catalog) {
    for (const store of Object.values(stores)) {
      if (store.kind !== "redis") continue;
      const { server, durability } = store;
      if (!/^[a-z][a-z0-9-]{0,31}$/.test(server)) problems.push(`${name}: "${server}" is not a kebab-case server name`);
      const known = kept.get(server);
      if (known === undefined) kept.set(server, { durability, by: name });
      else if (known.durability !== durability) {
        problems.push(
          `the Redis server ${server} is ${known.durability} for ${known.by} and ${durability} for ${name}`,
        );
      }
    }
  }
  return problems;
}

function admitsServices(method: DescMethod): boolean {
  if (!hasOption(method, policy)) return false;
  const { public: isPublic, callers } = getOption(method, policy);
  return isPublic || callers.includes(CallerKind.SERVICE);
}

function isEvent(schema: DescMessage): boolean {
  if (!hasOption(schema, event)) return false;
  const { topic, subject, nature } = getOption(schema, event);
  const field = schema.fields.find(({ name }) => name === subject);
  return (
    topic !== "" &&
    nature !== EventNature.UNSPECIFIED &&
    field?.fieldKind === "scalar" &&
    field.scalar === ScalarType.STRING
  );
}
