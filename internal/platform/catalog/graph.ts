import type { StoreTopology, Topology } from "./topology.ts";

/** Who uses what in a catalogue: services, stores, calls and events. All lists are in the order of the catalogue. */
export interface Graph {
  readonly services: readonly { readonly name: string; readonly summary: string; readonly serves: readonly string[] }[];
  /** Stores, each once, in the order of their names. */
  readonly stores: readonly {
    readonly name: string;
    readonly kind: StoreTopology["kind"];
    /** The store that this one is a replica of. */
    readonly replicaOf?: string;
  }[];
  /** Which service uses which store, and how. */
  readonly uses: readonly {
    readonly service: string;
    readonly store: string;
    readonly access: "owner" | "read-only" | "read-write";
  }[];
  /** Which service calls which RPCs of which other, by RPC service; `callee` is `undefined` when nobody in the catalogue serves it. */
  readonly calls: readonly {
    readonly caller: string;
    readonly callee: string | undefined;
    readonly rpcService: string;
    readonly methods: readonly string[];
  }[];
  /** Messages, each once, in the order of their topics and names. */
  readonly events: readonly {
    readonly message: string;
    readonly topic: string;
    readonly publishers: readonly string[];
    readonly consumers: readonly { readonly service: string; readonly kind: "group" | "everyInstance" }[];
  }[];
}

/** The part of a topology that a person looks at: who uses what. */
export function createGraph({ services, topics }: Topology): Graph {
  const stores = new Map(
    services.flatMap((service) => service.stores.map((store) => [storeName(store), store] as const)),
  );
  return {
    services: services.map(({ name, summary, rpcServices }) => ({
      name,
      summary,
      serves: rpcServices.map((served) => served.name),
    })),
    stores: Array.from(stores, ([name, { kind, at, role }]) =>
      role === "replica" ? { name, kind, replicaOf: at } : { name, kind },
    ).toSorted(byKey(({ name }) => name)),
    uses: services.flatMap((service) =>
      service.stores.map((store) => ({ service: service.name, store: storeName(store), access: store.access })),
    ),
    calls: services.flatMap(({ name, calls }) =>
      calls.map(({ callee, rpcService, methods }) => ({ caller: name, callee, rpcService, methods })),
    ),
    events: topics.flatMap(({ name: topic, messages }) =>
      messages.map((message) => ({
        message,
        topic,
        publishers: services
          .filter(({ publishes }) => publishes.some((own) => own.message === message && own.topic === topic))
          .map(({ name }) => name),
        consumers: services.flatMap(({ name, consumes }) =>
          consumes
            .filter((own) => own.message === message && own.topics.includes(topic))
            .map(({ kind }) => ({ service: name, kind })),
        ),
      })),
    ),
  };
}

/** The graph as a Mermaid flowchart (https://mermaid.js.org/syntax/flowchart.html). */
export function graphToMermaid(graph: Graph): string {
  const lines = ["flowchart LR"];
  for (const { name } of graph.services) lines.push(`  ${nodeId("service", name)}["${name}"]`);
  for (const { name, kind } of graph.stores) lines.push(`  ${nodeId("store", name)}[("${name}<br/>${kind}")]`);
  const topics = new Map<string, { readonly publishers: Set<string>; readonly consumers: Set<string> }>();
  for (const { topic, publishers, consumers } of graph.events) {
    const known = topics.get(topic) ?? { publishers: new Set(), consumers: new Set() };
    for (const publisher of publishers) known.publishers.add(publisher);
    for (const { service } of consumers) known.consumers.add(service);
    topics.set(topic, known);
  }
  for (const topic of topics.keys()) lines.push(`  ${nodeId("topic", topic)}{{"${topic}"}}`);
  for (const { name, replicaOf } of graph.stores) {
    if (!graph.stores.some((store) => store.name === replicaOf)) continue;
    lines.push(`  ${nodeId("store", replicaOf!)} -. replicates .-> ${nodeId("store", name)}`);
  }
  for (const { service, store, access } of graph.uses) {
    const arrow = access === "read-only" ? "-. reads .->" : "-->";
    lines.push(`  ${nodeId("service", service)} ${arrow} ${nodeId("store", store)}`);
  }
  for (const { caller, callee, rpcService, methods } of graph.calls) {
    if (callee === undefined) continue;
    const label = `${rpcService.slice(rpcService.lastIndexOf(".") + 1)}: ${methods.join(", ")}`;
    lines.push(`  ${nodeId("service", caller)} == "${label}" ==> ${nodeId("service", callee)}`);
  }
  for (const [topic, { publishers, consumers }] of topics) {
    for (const publisher of publishers) lines.push(`  ${nodeId("service", publisher)} --> ${nodeId("topic", topic)}`);
    for (const consumer of consumers) lines.push(`  ${nodeId("topic", topic)} --> ${nodeId("service", consumer)}`);
  }
  return [...new Set(lines)].join("\n");
}

function storeName({ at, role }: StoreTopology): string {
  return role === "replica" ? `${at} replica` : at;
}

function nodeId(kind: string, name: string): string {
  return `${kind}_${name.replaceAll(/[^a-zA-Z0-9]/g, "_")}`;
}

function byKey<T>(keyOf: (value: T) => string): (a: T, b: T) => number {
  return (a, b) => (keyOf(a) < keyOf(b) ? -1 : keyOf(a) > keyOf(b) ? 1 : 0);
}
