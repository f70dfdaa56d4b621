import type { DescMessage, DescMethod, DescService, JsonObject, MessageShape } from "@bufbuild/protobuf";
import type { ServiceImpl } from "@connectrpc/connect";
import type { ConfigFields, ConfigValues } from "../config/fields.ts";
import type { Component } from "../lifecycle/component.ts";
import type { Transaction } from "../postgres/database.ts";
import type { Codec } from "./codec.ts";
import type { Delivery, ManyDelivery } from "./delivery.ts";
import type { OutboxView } from "./outbox-view.ts";

/** An RPC service with its implementation. */
export interface Served<S extends DescService = DescService> {
  readonly part: "served";
  readonly service: S;
  readonly impl: ServiceImpl<S>;
  /** Unary methods with a fast path; the runtime takes them from the declaration. */
  readonly hot: readonly DescMethod[];
  /** Codecs of hot methods: of those without one, the generated code reads and writes all messages. Default: none. */
  readonly codecs?: readonly Codec[];
}

/** A consumed message with its handler. */
export interface Handled<M extends DescMessage = DescMessage> {
  readonly part: "handled";
  readonly schema: M;
  readonly handle: (event: MessageShape<M>, delivery: Delivery) => Promise<void>;
  /** Handles several at once, as it reads them; absent: they come one by one. */
  readonly many: HandledMany | undefined;
}

/** How events of one message are read and handled, several at once. */
export interface HandledMany<E extends object = object> {
  read(data: Uint8Array): E;
  handle(events: readonly E[], delivery: ManyDelivery<E>): Promise<void>;
}

/** Work that a service does beside its calls and events. */
export interface Background {
  readonly part: "background";
  readonly component: Component;
}

/** Something without which a service cannot work. */
export interface Readiness {
  readonly part: "readiness";
  readonly name: string;
  readonly check: () => Promise<string | undefined>;
}

/** Event messages of one topic; the topic itself stands in their proto. */
export type OfOneTopic<M extends DescMessage> = readonly [M, ...M[]];

/** How a service announces its present state again. */
export interface Republisher<M extends DescMessage = DescMessage> {
  readonly part: "republisher";
  readonly schemas: OfOneTopic<M>;
  readonly republish: () => Promise<number>;
}

/** How a service makes good what it missed of a topic. */
export interface Rebuilder<M extends DescMessage = DescMessage> {
  readonly part: "rebuilder";
  readonly schemas: OfOneTopic<M>;
  readonly rebuild: () => Promise<void>;
}

/** An outbox that a service keeps itself. */
export interface Outbox extends OutboxView {
  readonly part: "outbox";
}

/** What an installation gives to a service's setup. */
export interface SetupContext<F extends ConfigFields = ConfigFields> {
  /** Values of the settings that the declaration names for it. */
  readonly config: ConfigValues<F>;
  /** Secrets that the installation keeps from earlier setups, by name. Empty at the first. */
  readonly kept: Readonly<Record<string, string>>;
  /** Path of the file that they are kept in. */
  readonly keptIn: string;
}

/** A line of the first screen. */
export interface SetupLine {
  /** A word or two, such as "API key". */
  readonly title: string;
  /** For a terminal: it may hold secrets. */
  readonly text: string;
  /** The same where what is printed is kept, such as in a log: it holds no secret, and says where they stand. Default: `text`. */
  readonly textForLog?: string;
  /** The same for programs. It may hold secrets. */
  readonly json: JsonObject;
}

/** What a setup made, or found made. */
export interface SetupResult {
  /** Secrets that the installation keeps for its own programs, by name, lower_snake. Those of `kept` that still hold included. */
  readonly keep: Readonly<Record<string, string>>;
  /** What whoever started the installation is shown, in this order. */
  readonly show: readonly SetupLine[];
}

/** What a service needs before anybody can use an installation. */
export interface Setup<F extends ConfigFields = ConfigFields> {
  readonly part: "setup";
  readonly config: F;
  run(context: SetupContext<F>): Promise<SetupResult>;
}

/** What a service holds of people, and how it lets go of it. */
export interface PersonalData {
  readonly part: "personalData";
  /** All that the service holds of a person, as they may read it; `undefined` when it holds nothing. Must hold no secret. */
  exportOf(userId: string, signal: AbortSignal): Promise<JsonObject | undefined>;
  /** Erases it, in the transaction `tx`: `exportOf` then finds nothing. Does nothing for who is erased or unknown. */
  erase(tx: Transaction, userId: string): Promise<void>;
}

/** The parts of a service as the runtimes see them. */
export type ServicePart =
  Served | Handled | Background | Readiness | Republisher | Rebuilder | Outbox | Setup | PersonalData;

/** The parts of one kind, in their order. */
export function partsOf<K extends ServicePart["part"]>(
  parts: readonly ServicePart[],
  kind: K,
): readonly Extract<ServicePart, { readonly part: K }>[] {
  return parts.filter((part): part is Extract<ServicePart, { readonly part: K }> => part.part === kind);
}

/** Implements an RPC service. `codecs`: default none. */
export function serve<S extends DescService>(
  service: S,
  impl: ServiceImpl<NoInfer<S>>,
  { codecs = [] }: { readonly codecs?: readonly Codec[] } = {},
): Served<S> {
  return { part: "served", service, impl, hot: [], codecs };
}

/** Handles a consumed message. */
export function on<M extends DescMessage>(
  schema: M,
  handle: (event: MessageShape<NoInfer<M>>, delivery: Delivery) => Promise<void>,
): Handled<M> {
  return { part: "handled", schema, handle, many: undefined };
}

/**
 * Handles a consumed message, several at once where several wait: for effects that cost less together. `read` makes of an event's bytes
 * what is handled, and throws for bytes that are no such message; the message must have one topic. Events come in order per
 * key. When it rejects for several, each comes again by itself, so that one bad event does not hold up the others. There is no inbox: what an
 * event changes must tell a repeat by itself, as by a revision.
 */
export function onMany<M extends DescMessage, E extends object>(
  schema: M,
  read: (data: Uint8Array) => E,
  handleMany: (events: readonly NoInfer<E>[], delivery: ManyDelivery<NoInfer<E>>) => Promise<void>,
): Handled<M> {
  return {
    part: "handled",
    schema,
    many: { read, handle: handleMany },
    handle: (_, { record, signal }) => handleMany([read(record.data)], { signal, epochOf: () => record.epoch }),
  };
}

/** Runs a component from after the stores are reachable until before they are closed; of a service that stands alone from its start. */
export function background(component: Component): Background {
  return { part: "background", component };
}

/**
 * Says whether the service can work: `check` resolves with why it cannot, or `undefined` when it can. It is asked about once a
 * second and must answer within a second; one that rejects, or is late, says that the service cannot work.
 */
export function readiness(name: string, check: () => Promise<string | undefined>): Readiness {
  return { part: "readiness", name, check };
}

/**
 * Records an event with the present state of every aggregate of a topic again, at its version, for who missed it. `schemas` are
 * published messages of that topic; `republish` returns how many events it recorded.
 */
export function republisher<const T extends OfOneTopic<DescMessage>>(
  schemas: T,
  republish: () => Promise<number>,
): Republisher<T[number]> {
  return { part: "republisher", schemas, republish };
}

/**
 * Makes good by itself what the service missed of a topic, when retention removed events before they were handled. `schemas` are messages of
 * that topic. Of a group it rebuilds what was made of them, from their source; after it the group reads on from the oldest retained event. Where every
 * instance consumes them there must be one: it runs in that instance before it reads on, and drops what was made of earlier events.
 */
export function rebuilder<const T extends OfOneTopic<DescMessage>>(
  schemas: T,
  rebuild: () => Promise<void>,
): Rebuilder<T[number]> {
  return { part: "rebuilder", schemas, rebuild };
}

/** Shows operators an outbox that the service keeps itself. */
export function outbox(view: OutboxView): Outbox {
  return { ...view, part: "outbox" };
}

/**
 * Makes what an installation needs of the service before anybody can use it. `run` comes at every start of a standalone
 * installation, once the service is up, and must find again what it made before. `config` are the settings that the declaration
 * names for it.
 */
export function setup<const F extends ConfigFields>(
  config: F,
  run: (context: SetupContext<NoInfer<F>>) => Promise<SetupResult>,
): Setup<F> {
  return { part: "setup", config, run };
}

/** Says how the service exports and erases what it holds of people. */
export function personalData(held: Pick<PersonalData, "exportOf" | "erase">): PersonalData {
  return { part: "personalData", ...held };
}
