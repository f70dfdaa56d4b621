import type { DescMessage } from "@bufbuild/protobuf";
import { topicOf } from "../events/topics.ts";
import type { ServiceInfo } from "../service/define-service.ts";
import { partsOf, type OfOneTopic, type ServicePart } from "../service/parts.ts";

/**
 * What is wrong with the parts that a service's `create` returned, as sentences; empty when nothing is. Types see most of it, but
 * they let two RPC services of the same shape be swapped, and do not count.
 */
export function checkParts(info: ServiceInfo, parts: readonly ServicePart[]): readonly string[] {
  return [
    ...misplaced(info, parts),
    ...strayTopics(info, parts),
    ...notRepublished(info, parts),
    ...notRebuilt(info, parts),
    ...miscounted(info, parts),
  ];
}

/** RPC services and consumers come in the order of the declaration, each once. */
function misplaced(info: ServiceInfo, parts: readonly ServicePart[]): readonly string[] {
  const expected = [
    ...info.serves.map(({ typeName }) => `serve(${typeName})`),
    ...info.consumes.map(({ schema }) => `on(${schema.typeName})`),
  ];
  const given = parts.flatMap((part) => {
    if (part.part === "served") return [`serve(${part.service.typeName})`];
    return part.part === "handled" ? [`on(${part.schema.typeName})`] : [];
  });
  return [
    ...expected.flatMap((name, index) =>
      given[index] === name
        ? []
        : [`${info.name}: part ${index + 1} is ${given[index] ?? "missing"}, declared is ${name}`],
    ),
    ...given.slice(expected.length).map((name) => `${info.name}: ${name} is not declared`),
  ];
}

/** Republishers and rebuilders name messages of one topic, which the service publishes or consumes. */
function strayTopics({ name, publishes, consumes }: ServiceInfo, parts: readonly ServicePart[]): readonly string[] {
  const consumed = consumes.map(({ schema }) => schema);
  const stray = (helper: string, schemas: OfOneTopic<DescMessage>, declared: readonly DescMessage[], how: string) => {
    const what = `${name}: ${helper}([${schemas.map(({ typeName }) => typeName).join(", ")}])`;
    const foreign = schemas.filter(({ typeName }) => !declared.some((schema) => schema.typeName === typeName));
    if (foreign.length > 0) {
      return [`${what} names ${foreign.map(({ typeName }) => typeName).join(", ")}, which ${name} does not ${how}`];
    }
    const topics = [...new Set(schemas.map((schema) => topicOf(schema, "{service}")))];
    return topics.length === 1 ? [] : [`${what} names messages of several topics: ${topics.join(", ")}`];
  };
  return [
    ...partsOf(parts, "republisher").flatMap(({ schemas }) => stray("republisher", schemas, publishes, "publish")),
    ...partsOf(parts, "rebuilder").flatMap(({ schemas }) => stray("rebuilder", schemas, consumed, "consume")),
  ];
}

/** What a service declares that it tells again it does, and nothing else. */
function notRepublished(
  { name, publishes, republishes }: ServiceInfo,
  parts: readonly ServicePart[],
): readonly string[] {
  const given = partsOf(parts, "republisher").flatMap(({ schemas }) => schemas.map(({ typeName }) => typeName));
  const declared = republishes.map(({ typeName }) => typeName);
  return [
    ...declared.filter((type) => !given.includes(type)).map((type) => `${name}: republisher([${type}]) is missing`),
    ...given
      .filter((type) => !declared.includes(type) && publishes.some(({ typeName }) => typeName === type))
      .map((type) => `${name}: republisher([${type}]) is given, but the declaration does not say republishes`),
  ];
}

/** What every instance consumes it makes good by itself: nobody asks in the name of one instance. A group asks the owner, see `checkCatalog`. */
function notRebuilt({ name, consumes }: ServiceInfo, parts: readonly ServicePart[]): readonly string[] {
  const rebuilt = new Set(
    partsOf(parts, "rebuilder").flatMap(({ schemas }) => schemas.map(({ typeName }) => typeName)),
  );
  return consumes
    .filter(({ kind, schema }) => kind === "everyInstance" && !rebuilt.has(schema.typeName))
    .map(
      ({ schema: { typeName } }) =>
        `${name}: rebuilder([${typeName}]) is missing: every instance consumes ${typeName} and must drop what it made of it when events were removed unseen`,
    );
}

/** Parts that follow from a word in the declaration are there once with it, and not at all without. */
function miscounted(info: ServiceInfo, parts: readonly ServicePart[]): readonly string[] {
  const count = (kind: "setup" | "personalData", isDeclared: boolean, word: string): readonly string[] => {
    const given = partsOf(parts, kind).length;
    if (given === (isDeclared ? 1 : 0)) return [];
    if (!isDeclared) return [`${info.name}: ${kind}() is given, but the declaration does not say ${word}`];
    return [`${info.name}: the declaration says ${word}: one ${kind}() is due, and ${given} are given`];
  };
  return [
    ...count("setup", info.setup !== undefined, "setup"),
    ...count("personalData", info.personalData === "held", 'personalData "held"'),
  ];
}
