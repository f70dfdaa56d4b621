import { timestampFromMs, type Timestamp } from "@bufbuild/protobuf/wkt";
import { version } from "../config/version.ts";
import type { Clock } from "../clock/clock.ts";
import { zoneRulesVersion } from "../clock/zones.ts";
import type { OpenBroker } from "../events/broker-opener.ts";
import type { ConsumerGroupState } from "../events/consumer-groups.ts";
import { timeout } from "../lifecycle/timeout.ts";
import type { LocalStoresStatus } from "../local/local-stores.ts";
import type { ComposedService } from "./compose-service.ts";
import type { OpenStore } from "./open-stores.ts";

/** How long an outbox or the broker may take to say how it is, in milliseconds. */
const lookMsMax = 1000;

/** The state of the process, gathered at once for the RPC and the status page. */
export interface ProcessStatus {
  readonly version: string;
  readonly ready: boolean;
  readonly services: readonly { readonly name: string; readonly ready: boolean; readonly detail: string }[];
  readonly stores: readonly StoreStatus[];
  readonly outboxes: readonly {
    readonly service: string;
    readonly depth: bigint;
    readonly ageMs: bigint;
    readonly parked: bigint;
  }[];
  readonly consumers: readonly {
    readonly service: string;
    readonly topic: string;
    readonly lag: bigint;
    readonly deadLetters: bigint;
    readonly lost: boolean;
    readonly lostSince?: Timestamp;
  }[];
  /** What is wrong though it serves. */
  readonly degraded: readonly string[];
  /** What whoever runs it should set right. */
  readonly notices: readonly string[];
  readonly zoneRulesVersion: string;
}

interface StoreStatus {
  readonly name: string;
  readonly kind: string;
  readonly reachable: boolean;
  readonly detail: string;
  readonly serverVersion: string;
}

/** What the state is gathered from. */
export interface StatusSources {
  readonly services: readonly ComposedService[];
  readonly broker: Pick<OpenBroker, "tail" | "deadLetters" | "consumerGroups">;
  /** The servers that this process started; absent when it started none. */
  readonly localStores: (() => Promise<LocalStoresStatus>) | undefined;
  readonly degraded: () => readonly string[];
  readonly notices: () => readonly string[];
  readonly clock: Pick<Clock, "sleep">;
}

/** Gathers the state of the process. What does not answer within a second is left out. */
export async function readStatus(sources: StatusSources): Promise<ProcessStatus> {
  const { services, broker, localStores, degraded, notices, clock } = sources;
  const local = await localStores?.();
  const [readiness, stores, outboxes, consumers] = await Promise.all([
    Promise.all(services.map((service) => service.readiness())),
    Promise.all(services.flatMap(({ info, stores }) => stores.map((store) => probe(info.name, store, local)))),
    Promise.all(services.map((service) => outboxesOf(service, clock))),
    inTime(clock, broker.consumerGroups.states()),
  ]);
  const events = storeStatus(
    { name: "events", kind: "redis", server: "redis events" },
    consumers === undefined ? "does not answer" : undefined,
    local,
  );
  return {
    version,
    ready: readiness.every((detail) => detail === undefined),
    services: services.map(({ info }, index) => ({
      name: info.name,
      ready: readiness[index] === undefined,
      detail: readiness[index] ?? "",
    })),
    stores: [...stores, events].toSorted((a, b) => (a.name < b.name ? -1 : 1)),
    outboxes: outboxes.flat(),
    consumers: (consumers ?? []).map(consumerStatus),
    degraded: degraded(),
    notices: notices(),
    zoneRulesVersion,
  };
}

function consumerStatus({ service, topic, lag, deadLetters, lost, lostSinceMs }: ConsumerGroupState) {
  const status = { service, topic, lag: BigInt(lag), deadLetters: BigInt(deadLetters), lost };
  return lostSinceMs === undefined ? status : { ...status, lostSince: timestampFromMs(lostSinceMs) };
}

/** What the outboxes of a service say; one whose store is away says nothing, which `stores` tells. */
async function outboxesOf({ info, outboxes }: ComposedService, clock: StatusSources["clock"]) {
  const states = await Promise.all(outboxes.map((outbox) => inTime(clock, outbox.read())));
  return states
    .filter((state) => state !== undefined)
    .map(({ depth, ageMs, parked }) => ({
      service: info.name,
      depth: BigInt(depth),
      ageMs: BigInt(Math.round(ageMs)),
      parked: BigInt(parked),
    }));
}

/** What `work` resolves with; `undefined` when it fails or is late. */
function inTime<T>(clock: StatusSources["clock"], work: Promise<T>): Promise<T | undefined> {
  return timeout(clock, lookMsMax, work).catch(() => undefined);
}

async function probe(service: string, store: OpenStore, local: LocalStoresStatus | undefined): Promise<StoreStatus> {
  const problem = await store.probe();
  const { decl } = store;
  const server = decl.kind === "redis" ? `redis ${decl.server}` : decl.kind;
  return storeStatus({ name: `${service}/${store.name}`, kind: decl.kind, server }, problem, local);
}

function storeStatus(
  { name, kind, server }: { readonly name: string; readonly kind: string; readonly server: string },
  problem: string | undefined,
  local: LocalStoresStatus | undefined,
): StoreStatus {
  const own = local?.stores.find((store) => store.name === server);
  const fullDisk = local?.disk.full === true ? `the disk of ${local.disk.path} is full` : undefined;
  const details = problem === undefined ? [fullDisk] : [problem, own?.lastError, fullDisk];
  return {
    name,
    kind,
    reachable: problem === undefined,
    serverVersion: own?.version ?? "",
    detail: details.filter((detail) => detail !== undefined).join("; "),
  };
}
