import type { Clock } from "../clock/clock.ts";
import type { Random } from "../clock/random.ts";
import type { Broker, Consumer } from "../events/broker.ts";
import { topicOf } from "../events/topics.ts";
import { createAuthClient } from "../identity/auth-client.ts";
import { createAuthenticator, type Authenticator } from "../identity/authenticator.ts";
import { createRevocationFeed, type RevocationFeed } from "../identity/revocation-feed.ts";
import { createSequence, type Component } from "../lifecycle/component.ts";
import { createIdentityFile, type IdentityFile } from "../local/identity-file.ts";
import type { ServiceInfo } from "../service/define-service.ts";
import type { Logger } from "../telemetry/logger.ts";
import type { ProcessCalls } from "./process-calls.ts";
import type { ProcessTelemetry } from "./process-telemetry.ts";
import { areAlone } from "./standing-alone.ts";
import type { Wiring } from "./wiring.ts";

/** Of which process it is. */
interface IdentityOptions extends Pick<Wiring, "storePath"> {
  readonly name: string;
  readonly services: readonly ServiceInfo[];
  readonly settings: { readonly issuer: string };
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
}

/** How a process knows who calls. */
export interface ProcessIdentity {
  readonly authenticator: Authenticator;
  /** Starts after the services, in whose folder it may keep what it hears, and stops before them. */
  readonly revocations: Consumer;
}

/** Puts together what tells who calls, by the keys that auth gives it, and what tells it of revocations. Does no I/O. */
export function createProcessIdentity(
  { name, services, storePath, settings, clock, random, log }: IdentityOptions,
  parts: {
    readonly calls: ProcessCalls;
    readonly broker: Pick<Broker, "heartbeatReceivedAt" | "subscribe">;
    readonly telemetry: ProcessTelemetry;
  },
): ProcessIdentity {
  const keeper = openIdentityFile(services, { storePath, clock, log });
  const client = createAuthClient((target) => parts.calls.to(name, target));
  const authenticator = createAuthenticator({
    ...client,
    issuer: settings.issuer,
    keysFetched: (keys) => keeper?.keysFetched(keys),
    keepsRevocations: keeper !== undefined,
    heartbeatAgeMs: () => clock.monotonic() - parts.broker.heartbeatReceivedAt(),
    clock,
    log,
    metrics: parts.telemetry.metrics,
  });
  const feed = createRevocationFeed({
    authenticator,
    keeper,
    revocations: () => client.revocations(),
    clock,
    random,
    log,
  });
  return { authenticator, revocations: follow(parts.broker, name, { feed, keeper, isEarly: areAlone(services) }) };
}

/** The file in which the process keeps who calls: in the folder of the first of its services that says so. */
function openIdentityFile(
  services: readonly ServiceInfo[],
  { storePath, clock, log }: Pick<IdentityOptions, "storePath" | "clock" | "log">,
): IdentityFile | undefined {
  for (const info of services) {
    if (info.keepsIdentityIn === undefined) continue;
    return createIdentityFile({ folder: storePath(info, info.keepsIdentityIn), clock, log });
  }
  return undefined;
}

/** Hears of revocations for the process `service`, and keeps what it heard. */
function follow(
  broker: Pick<Broker, "subscribe">,
  service: string,
  how: { readonly feed: RevocationFeed; readonly keeper: IdentityFile | undefined; readonly isEarly: boolean },
): Consumer {
  const { feed, keeper, isEarly } = how;
  const consumer = broker.subscribe({
    service,
    topic: topicOf(feed.schemas[0]),
    types: feed.schemas.map(({ typeName }) => typeName),
    kind: "everyInstance",
    onFailure: "skip",
    backMs: feed.backMs,
    attemptsMax: 1,
    handle: (record) => feed.handle(record),
    onTrimmed: async () => feed.missed(),
    ...(keeper === undefined ? {} : { places: keeper }),
  });
  const { caughtUp } = consumer;
  const telling: Component = {
    name: "revocations",
    start: () => feed.begin({ caughtUp, isEarly }),
    stop: () => feed.stop(),
  };
  return {
    ...createSequence("revocations", [...(keeper === undefined ? [] : [keeper]), telling, consumer]),
    caughtUp,
  };
}
