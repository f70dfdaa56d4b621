import type { DescMessage, DescMethod, DescService, JsonObject } from "@bufbuild/protobuf";
import type { Clock } from "../clock/clock.ts";
import type { Random } from "../clock/random.ts";
import type { ConfigFields, ConfigValues } from "../config/fields.ts";
import type { ErrorTable } from "../errors/define-errors.ts";
import type { EntryPasses } from "../identity/entry-pass.ts";
import type { Leases } from "../lease/leases.ts";
import type { Logger } from "../telemetry/logger.ts";
import type { Metrics } from "../telemetry/metrics.ts";
import type { Consumption } from "./consumption.ts";
import type { Publish } from "./delivery.ts";
import type { EventPublisher } from "./event-record.ts";
import type {
  Background,
  Handled,
  Outbox,
  PersonalData,
  Readiness,
  Rebuilder,
  Republisher,
  Served,
  ServicePart,
  Setup,
} from "./parts.ts";
import type { Rpcs, RpcsClient } from "./rpcs.ts";
import type { FolderDecl, StoreDecl, StoreHandle } from "./stores.ts";

/** What a service has to do with data of people. */
export type PersonalDataRole =
  /** It keeps nothing about people. */
  | "none"
  /** It keeps something about people, exports it when asked, and erases it. */
  | "held"
  /** It brings together what all services hold of a person, and sees to it that all of them erase it. One service of all does. */
  | "collected";

/** The services that hold data of people: all of the installation that declare it. */
export interface PersonalDataHolders {
  /** Their names, in the order of the catalogue. */
  readonly names: readonly string[];
  /**
   * What one of them holds of a person; `undefined` when it holds nothing. Rejects with ConnectError when it does not answer, or
   * the signal is aborted.
   */
  exportFrom(holder: string, userId: string, signal: AbortSignal): Promise<JsonObject | undefined>;
}

/** All that a service may use: just what it declared, and the platform's time, chance, log and metrics. */
export interface ServiceDeps<
  C extends Readonly<Record<string, Rpcs>> = Readonly<Record<string, Rpcs>>,
  St extends Readonly<Record<string, StoreDecl>> = Readonly<Record<string, StoreDecl>>,
  P extends readonly DescMessage[] = readonly DescMessage[],
  F extends ConfigFields = ConfigFields,
> {
  /**
   * A call made in an RPC's handler, and in what it starts, ends before that RPC's deadline and when its caller goes away; a stream
   * also ends with the handler. What several calls share, such as filling a cache, is therefore fetched in background work.
   */
  readonly calls: { readonly [K in keyof C]: RpcsClient<C[K]> };
  readonly stores: { readonly [K in keyof St]: StoreHandle<St[K]> };
  readonly publish: Publish<P>;
  /** For a service that keeps an outbox of its own: only topics of declared messages are accepted. */
  readonly broker: EventPublisher;
  /** For work that one process of all may do at a time. Names of leases begin with the service's and a colon. */
  readonly leases: Pick<Leases, "leaseholder">;
  readonly config: ConfigValues<F>;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly metrics: Metrics;
}

/** What a service may use that collects personal data. */
interface CollectorDeps {
  readonly personalData: PersonalDataHolders;
}

/** What a service may use that verifies entry passes. */
interface EntryPassDeps {
  /** Verifies without asking auth: by its keys, as far as the process has them, and by the revocations that it was told. */
  readonly entryPasses: EntryPasses;
}

type ServedAll<S extends readonly DescService[]> = { readonly [K in keyof S]: Served<S[K]> };
type HandledAll<E extends readonly Consumption[]> = {
  readonly [K in keyof E]: E[K] extends Consumption<infer M> ? Handled<M> : never;
};
/** Names of the folders among stores. */
type FoldersOf<St extends Readonly<Record<string, StoreDecl>>> = {
  [K in keyof St]: St[K] extends FolderDecl ? K : never;
}[keyof St] &
  string;

/** Messages that are consumed. */
type ConsumedOf<E extends readonly Consumption[]> = E[number] extends infer One
  ? One extends Consumption<infer M>
    ? M
    : never
  : never;

/** The parts that may follow the RPCs and consumers, each only where the declaration has room for it. */
type Further<
  P extends readonly DescMessage[],
  E extends readonly Consumption[],
  D extends PersonalDataRole,
  U extends ConfigFields | undefined,
> =
  | Background
  | Readiness
  | Outbox
  | ([P[number]] extends [never] ? never : Republisher<P[number]>)
  | ([ConsumedOf<E>] extends [never] ? never : Rebuilder<ConsumedOf<E>>)
  | (U extends ConfigFields ? Setup<U> : never)
  | (D extends "held" ? PersonalData : never);

/** A service, its types erased: what the catalogue lists and everything is derived from. */
export interface ServiceInfo<N extends string = string> {
  readonly name: N;
  /** One sentence for the service catalogue. */
  readonly summary: string;
  readonly serves: readonly DescService[];
  /** Unary methods of `serves` that are worth a fast path. */
  readonly hot: readonly DescMethod[];
  /** What it calls. Whatever is not named here is refused to it. */
  readonly calls: Readonly<Record<string, Rpcs>>;
  readonly stores: Readonly<Record<string, StoreDecl>>;
  readonly publishes: readonly DescMessage[];
  /** Published messages with which it tells its present state again when it is asked. */
  readonly republishes: readonly DescMessage[];
  readonly consumes: readonly Consumption[];
  readonly config: ConfigFields;
  /** Errors that its callers may see. */
  readonly errors: ErrorTable;
  /** Settings of its setup; absent for a service without one. */
  readonly setup?: ConfigFields | undefined;
  readonly personalData: PersonalDataRole;
  /** Whether it gets `entryPasses`. Default: false. */
  readonly verifiesEntryPasses?: boolean;
  /** Whether it serves while everything else is away, from its start on. */
  readonly standsAlone: boolean;
  /** The folder in which its process keeps who calls beyond its end; absent: it does not. */
  readonly keepsIdentityIn?: string | undefined;
  create(deps: ServiceDeps & Partial<CollectorDeps & EntryPassDeps>): readonly ServicePart[];
}

/**
 * Declares a service. `create` gets what was declared and nothing else; it does no I/O, starts nothing, and returns a `serve()`
 * per RPC service, then an `on()` per consumed message, in the order of the declaration, then further parts. What types cannot see
 * of them is checked at the start: see `checkParts`.
 */
export function defineService<
  const N extends string,
  const S extends readonly DescService[],
  const C extends Readonly<Record<string, Rpcs>>,
  const St extends Readonly<Record<string, StoreDecl>>,
  const P extends readonly DescMessage[],
  const E extends readonly Consumption[],
  const F extends ConfigFields,
  const U extends ConfigFields | undefined = undefined,
  const D extends PersonalDataRole = PersonalDataRole,
  const V extends boolean = false,
>(spec: {
  readonly name: N;
  readonly summary: string;
  readonly serves: S;
  /** Unary methods of `serves` that are worth a fast path. Default: none. */
  readonly hot?: readonly DescMethod[];
  /** The RPCs that it calls, such as `{ keys: rpcs(ApiKeyService, ["verifyApiKey"]) }`. Any other is refused to it. */
  readonly calls: C;
  readonly stores: St;
  readonly publishes: P;
  /**
   * Published messages with which it tells its present state again when it is asked: it returns a `republisher()` for them. Without it, nobody
   * can consume what it publishes as state. Default: none.
   */
  readonly republishes?: readonly P[number][];
  readonly consumes: E;
  readonly config: F;
  /** Errors that its callers may see, beside those of the platform. */
  readonly errors: ErrorTable;
  /** Settings that a standalone installation gives to the service's one `setup()`. Default: it has none. */
  readonly setup?: U;
  /**
   * "held" for a service that keeps anything about people: it returns one `personalData()`. "collected" for the one that gathers
   * it from all holders, and accounts for its own by itself: it gets `personalData`. "none" for all others.
   */
  readonly personalData: D;
  /** Whether it verifies entry passes: it gets `entryPasses`. Default: false. */
  readonly verifiesEntryPasses?: V;
  /**
   * It serves while its stores on servers, the bus, auth and all other services are away, also when it starts so. Its background work then runs
   * from the start and meets stores that are not there, or whose schema is not there yet; migrations and consumers begin when their stores are
   * there. It is ready as its own `readiness()` parts say, whatever its stores say. Default: it starts to serve once its stores are there and all that was
   * published before it started is handled.
   */
  readonly standsAlone?: boolean;
  /**
   * A folder of its stores in which its process keeps the keys of tokens, what was revoked, and how far it has read of that: so it verifies tokens
   * also when it starts while auth and the bus are away, and those of devices for as long as they live. Default: it keeps none of it.
   */
  readonly keepsIdentityIn?: FoldersOf<St>;
  readonly create: (
    deps: ServiceDeps<C, St, P, F> &
      (D extends "collected" ? CollectorDeps : unknown) &
      (V extends true ? EntryPassDeps : unknown),
  ) => NoInfer<readonly [...ServedAll<S>, ...HandledAll<E>, ...Further<P, E, D, U>[]]>;
}): ServiceInfo<N> {
  // Erases the parameters that `create` was checked with.
  return {
    hot: [],
    republishes: [],
    verifiesEntryPasses: false,
    standsAlone: false,
    ...spec,
    create: spec.create as ServiceInfo["create"],
  };
}
