import { createClient } from "@connectrpc/connect";
import { publishedTopics } from "../catalog/bus-topics.ts";
import { checkParts } from "../catalog/check-parts.ts";
import type { Subscription } from "../events/broker.ts";
import { createPublish } from "../events/outbox.ts";
import type { RunningService } from "../rpc/call/plan.ts";
import type { ServiceInfo } from "../service/define-service.ts";
import type { EventPublisher } from "../service/event-record.ts";
import { partsOf, type ServicePart } from "../service/parts.ts";
import { onlyDeclared } from "../service/rpcs.ts";
import { activeTrace } from "../telemetry/active-trace.ts";
import { openStores, type OpenStores } from "./open-stores.ts";
import { subscriptionsOf } from "./subscriptions.ts";
import type { Wiring } from "./wiring.ts";

/** A service that was put together, and does nothing yet by itself. */
export interface AssembledService {
  readonly info: ServiceInfo;
  readonly stores: OpenStores;
  /** As its `create` returned them. */
  readonly parts: readonly ServicePart[];
  /** Its RPC services, which may be called while `isUp` says so. */
  running(isUp: () => boolean): readonly RunningService[];
  /** What it consumes, one per topic and kind. */
  readonly subscriptions: readonly Subscription[];
}

/**
 * Puts a service together: opens its stores, gives `create` what the declaration says, and checks what it returned. Nothing
 * connects. Throws when the parts are not those of the declaration.
 */
export function assembleService(info: ServiceInfo, given: Wiring): AssembledService {
  const wiring = { ...given, log: given.log.child({ service: info.name }) };
  const stores = openStores(info, wiring);
  const parts = info.create(depsOf(info, stores, wiring));
  const problems = checkParts(info, parts);
  if (problems.length > 0) throw new Error(problems.join("; "));
  return {
    info,
    stores,
    parts,
    running: (isUp) =>
      partsOf(parts, "served").map(({ part, service, impl, codecs = [] }) => ({
        part,
        service,
        impl,
        hot: info.hot,
        codecs,
        owner: info.name,
        errors: info.errors,
        isUp,
        callsOthers: Object.keys(info.calls).length > 0 || info.personalData === "collected",
      })),
    subscriptions: subscriptionsOf(info, partsOf(parts, "handled"), wiring, partsOf(parts, "rebuilder")),
  };
}

/** All that a service's declaration entitles it to. */
function depsOf(info: ServiceInfo, stores: OpenStores, wiring: Wiring): Parameters<ServiceInfo["create"]>[0] {
  const { broker, leases, clock, random, log, metrics } = wiring;
  return {
    calls: Object.fromEntries(
      Object.entries(info.calls).map(([name, declared]) => {
        const client = createClient(declared.service, wiring.transport(info, declared.service));
        return [name, onlyDeclared(declared, client)];
      }),
    ) as never, // Typed by the declaration.
    stores: Object.fromEntries(stores.all.map(({ name, handle }) => [name, handle])) as never, // Typed by the declaration.
    publish: createPublish({ source: `/muin/${info.name}`, clock, random, currentTraceparent }),
    broker: { publish: publishDeclared(info, broker) },
    leases: { leaseholder: holdOwn(info, leases) },
    ...(info.personalData === "collected" ? { personalData: wiring.personalData(info) } : {}),
    ...(info.verifiesEntryPasses === true ? { entryPasses: wiring.entryPasses } : {}),
    config: wiring.config(info),
    clock,
    random,
    log,
    metrics,
  };
}

/** Publishes event records of the topics that a service declares, and its requests for the state of others; rejects for any other. */
function publishDeclared(info: ServiceInfo, broker: EventPublisher): EventPublisher["publish"] {
  const topics = new Set(publishedTopics(info).map(({ name }) => name));
  return async (records, term) => {
    const foreign = records.find(({ topic }) => !topics.has(topic));
    if (foreign !== undefined) throw new Error(`${info.name} does not declare an event on ${foreign.topic}`);
    await broker.publish(records, term);
  };
}

/** Seeks leases whose names begin with that of the service, as its rights have it; throws for any other. */
function holdOwn({ name }: ServiceInfo, leases: Wiring["leases"]): Wiring["leases"]["leaseholder"] {
  return (lease, work) => {
    if (!lease.startsWith(`${name}:`))
      throw new Error(`${name} cannot hold the lease ${lease}: it must begin with ${name}:`);
    return leases.leaseholder(lease, work);
  };
}

function currentTraceparent(): string {
  return activeTrace()?.traceparent ?? "";
}
