import type { DescMessage, DescMethod, DescService, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import type { Client, ServiceImpl } from "@connectrpc/connect";
import type { Clock } from "../clock/clock.ts";
import type { Random } from "../clock/random.ts";
import type { ConfigFields, ConfigValues } from "../config/fields.ts";
import type { EventBus, EventRecord } from "../events/event-bus.ts";
import type { Database, Transaction } from "../postgres/database.ts";
import type { Logger } from "../telemetry/logger.ts";
import type { Metrics } from "../telemetry/metrics.ts";
import type { Component } from "../lifecycle/component.ts";
import type { StoreDecl, StoreHandle } from "./stores.ts";

/** A message that a service consumes, and how. */
export interface Consumption<M extends DescMessage = DescMessage> {
  readonly schema: M;
  readonly kind: "group" | "everyInstance";
  readonly onFailure: "parkKey" | "skip";
  readonly backMs: number;
  readonly attemptsMax: number;
  /** As in `Subscription`, for a message that is handled by `onMany`. */
  readonly gatherMs: number;
  /** Service outside the catalogue that publishes the message; `undefined` when one of the catalogue does. */
  readonly publishedBy: string | undefined;
}

/**
 * Consumed once per event over all instances of the service. Begins with the oldest retained event. `publishedBy` names the service
 * that publishes it where that is none of this catalogue.
 */
export function group<M extends DescMessage>(
  schema: M,
  options: {
    readonly onFailure?: "parkKey" | "skip";
    readonly attemptsMax?: number;
    readonly publishedBy?: string;
    readonly gatherMs?: number;
  } = {},
): Consumption<M> {
  return {
    schema,
    kind: "group",
    onFailure: options.onFailure ?? "parkKey",
    backMs: 0,
    attemptsMax: options.attemptsMax ?? 8,
    gatherMs: options.gatherMs ?? 0,
    publishedBy: options.publishedBy,
  };
}

/** Consumed by every instance, from `backMs` milliseconds (default 0) before it started. For caches and live streams. */
export function everyInstance<M extends DescMessage>(
  schema: M,
  options: { readonly backMs?: number } = {},
): Consumption<M> {
  return {
    schema,
    kind: "everyInstance",
    onFailure: "skip",
    backMs: options.backMs ?? 0,
    attemptsMax: 1,
    gatherMs: 0,
    publishedBy: undefined,
  };
}

/** What an event handler learns beside the event. */
export interface Delivery {
  /** The event as it travelled. */
  readonly record: EventRecord;
  /** 1 for the first attempt. */
  readonly attempt: number;
  readonly signal: AbortSignal;
  /**
   * Runs `effect` in a transaction of `database` together with an inbox row, so that it happens once however often the event
   * comes. Returns false when it had happened before.
   */
  once(database: Database, effect: (tx: Transaction) => Promise<void>): Promise<boolean>;
}

/** What a handler of several events learns beside them. */
export interface ManyDelivery<M extends DescMessage = DescMessage> {
  readonly signal: AbortSignal;
  /**
   * Runs `effect` in a transaction of `database` together with an inbox row for each event. It gets those events that had not been
   * handled before, in order, and is not run when there are none.
   */
  once(
    database: Database,
    effect: (tx: Transaction, events: readonly MessageShape<M>[]) => Promise<void>,
  ): Promise<void>;
}

/** Records an event in a transaction; a relay publishes it after the commit, in order per subject. */
export type Publish<P extends readonly DescMessage[]> = <D extends P[number]>(
  tx: Transaction,
  schema: D,
  message: MessageInitShape<D>,
) => Promise<void>;

/** All that a service may use: just what it declared, and the platform's time, chance, log and metrics. */
export interface ServiceDeps<
  C extends Readonly<Record<string, DescService>> = Readonly<Record<string, DescService>>,
  St extends Readonly<Record<string, StoreDecl>> = Readonly<Record<string, StoreDecl>>,
  P extends readonly DescMessage[] = readonly DescMessage[],
  F extends ConfigFields = ConfigFields,
> {
  /**
   * A call made in an RPC's handler, and in what it starts, ends before that RPC's deadline and when its caller goes away; a stream
   * also ends with the handler. What several calls share, such as filling a cache, is therefore fetched in background work.
   */
  readonly calls: { readonly [K in keyof C]: Client<C[K]> };
  readonly stores: { readonly [K in keyof St]: StoreHandle<St[K]> };
  readonly publish: Publish<P>;
  /** For a service that keeps an outbox of its own: only topics of declared messages are accepted. */
  readonly bus: Pick<EventBus, "publish" | "leaseholder">;
  readonly config: ConfigValues<F>;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly metrics: Metrics;
}

/** An RPC service with its implementation. */
export interface Served<S extends DescService = DescService> {
  readonly part: "served";
  readonly service: S;
  readonly impl: ServiceImpl<S>;
  /** Unary methods that the fast lane serves; the runtime takes them from the declaration. */
  readonly hot: readonly DescMethod[];
}

/** A consumed message with its handler. */
export interface Handled<M extends DescMessage = DescMessage> {
  readonly part: "handled";
  readonly schema: M;
  readonly handle: (event: MessageShape<M>, delivery: Delivery) => Promise<void>;
  /** Handles several at once; absent: they come one by one. */
  readonly handleMany: ((events: readonly MessageShape<M>[], delivery: ManyDelivery<M>) => Promise<void>) | undefined;
}

/** What a service may add after its RPCs and consumers. */
export type Extra =
  | { readonly part: "background"; readonly component: Component }
  /** Why the service cannot work, or `undefined` when it can. Asked about once a second; must answer within a second. */
  | { readonly part: "readiness"; readonly name: string; readonly check: () => Promise<string | undefined> }
  /** Records an event with the current state of every aggregate of a topic again. Returns how many. */
  | { readonly part: "republisher"; readonly topic: string; readonly republish: () => Promise<number> }
  /**
   * Rebuilds what the service made of a topic's events, from their source: run when its group was LOST. After it the group reads
   * on from the oldest retained event.
   */
  | { readonly part: "rebuilder"; readonly topic: string; readonly rebuild: () => Promise<void> }
  /** What `muin status` shows of an outbox that the service keeps itself. */
  | { readonly part: "outbox"; readonly read: () => Promise<{ readonly depth: number; readonly ageMs: number }> };

/** Implements an RPC service. */
export function serve<S extends DescService>(service: S, impl: ServiceImpl<NoInfer<S>>): Served<S> {
  return { part: "served", service, impl, hot: [] };
}

/** Handles a consumed message. */
export function on<M extends DescMessage>(
  schema: M,
  handle: (event: MessageShape<NoInfer<M>>, delivery: Delivery) => Promise<void>,
): Handled<M> {
  return { part: "handled", schema, handle, handleMany: undefined };
}

/**
 * Handles a consumed message, several at once where several wait: for effects that cost less together. Events come in order per
 * key. When it rejects for several, each comes again by itself, so that one bad event does not hold up the others.
 */
export function onMany<M extends DescMessage>(
  schema: M,
  handleMany: (events: readonly MessageShape<NoInfer<M>>[], delivery: ManyDelivery<NoInfer<M>>) => Promise<void>,
): Handled<M> {
  return {
    part: "handled",
    schema,
    handleMany,
    handle: (event, delivery) =>
      handleMany([event], {
        signal: delivery.signal,
        once: async (database, effect) => {
          await delivery.once(database, (tx) => effect(tx, [event]));
        },
      }),
  };
}

/** Runs a component from after the stores are reachable until before they are closed. */
export function background(component: Component): Extra {
  return { part: "background", component };
}

type ServedAll<S extends readonly DescService[]> = { readonly [K in keyof S]: Served<S[K]> };
type HandledAll<E extends readonly Consumption[]> = {
  readonly [K in keyof E]: E[K] extends Consumption<infer M> ? Handled<M> : never;
};

/** The parts of a service as the runtimes see them. */
export type ServicePart = Served | Handled | Extra;

/** A service, its types erased: what the catalogue lists and everything is derived from. */
export interface ServiceInfo<N extends string = string> {
  readonly name: N;
  /** One sentence for the service catalogue. */
  readonly summary: string;
  readonly serves: readonly DescService[];
  /** Unary methods of `serves` that are worth the fast lane. */
  readonly hot: readonly DescMethod[];
  readonly calls: Readonly<Record<string, DescService>>;
  readonly stores: Readonly<Record<string, StoreDecl>>;
  readonly publishes: readonly DescMessage[];
  readonly consumes: readonly Consumption[];
  readonly config: ConfigFields;
  create(deps: ServiceDeps): readonly ServicePart[];
}

/**
 * Declares a service. `create` gets what was declared and nothing else; it does no I/O, starts nothing, and returns a `serve()`
 * per RPC service, then an `on()` per consumed message, in the order of the declaration, then extras.
 */
export function defineService<
  const N extends string,
  const S extends readonly DescService[],
  const C extends Readonly<Record<string, DescService>>,
  const St extends Readonly<Record<string, StoreDecl>>,
  const P extends readonly DescMessage[],
  const E extends readonly Consumption[],
  const F extends ConfigFields,
>(spec: {
  readonly name: N;
  readonly summary: string;
  readonly serves: S;
  /** Unary methods of `serves` that are worth the fast lane. Default: none. */
  readonly hot?: readonly DescMethod[];
  readonly calls: C;
  readonly stores: St;
  readonly publishes: P;
  readonly consumes: E;
  readonly config: F;
  readonly create: (
    deps: ServiceDeps<C, St, P, F>,
  ) => NoInfer<readonly [...ServedAll<S>, ...HandledAll<E>, ...Extra[]]>;
}): ServiceInfo<N> {
  return { hot: [], ...spec }; // Erases the parameters that `create` was checked with.
}
