import { MuinError } from "../errors/muin-error.ts";
import type { Subscription } from "../events/broker.ts";
import type { Component } from "../lifecycle/component.ts";
import { retry } from "../lifecycle/retry.ts";
import type { RunningService } from "../rpc/call/plan.ts";
import type { ServiceInfo } from "../service/define-service.ts";
import type { OutboxView } from "../service/outbox-view.ts";
import type { ServicePart } from "../service/parts.ts";
import { assembleService } from "./assemble-service.ts";
import type { OpenStore } from "./open-stores.ts";
import { readinessOf } from "./service-readiness.ts";
import { createServiceWork } from "./service-work.ts";
import type { Wiring } from "./wiring.ts";

/** A service that was put together and can run. */
export interface ComposedService extends Component {
  readonly info: ServiceInfo;
  /** Its RPC services. Before the service serves, each call is UNAVAILABLE with reason SERVICE_STARTING. */
  readonly served: readonly RunningService[];
  readonly parts: readonly ServicePart[];
  /** What it consumes, one per topic and kind. */
  readonly subscriptions: readonly Subscription[];
  readonly stores: readonly OpenStore[];
  /** Outboxes: the database's, or the service's own. */
  readonly outboxes: readonly OutboxView[];
  /** As of its work, see `ServiceWork`. */
  rebuild(topic: string): Promise<number | undefined>;
  /** Resolves once its schema is current and its consumers and background work run. Rejects when it was stopped before. */
  readonly up: Promise<void>;
  /** True from the moment at which it serves: when `up` resolves, or, where it stands alone, when it has started. */
  isUp(): boolean;
  /** What of a service that serves is still waiting, such as "its consumers wait for a store"; `undefined` when nothing is. */
  waiting(): string | undefined;
  /** Why it is not ready to serve, or `undefined` when it is. */
  readiness(): Promise<string | undefined>;
}

/** Pauses between attempts to bring a service up while a store is away. */
const bringUpBackoff = { minMs: 500, maxMs: 500 };
/** Of so many attempts, of some tens of seconds together, one has a line in the log: a service that stands alone may wait for days. */
const attemptsPerLine = 60;

/**
 * Puts a service together with all that it does by itself. Nothing connects before `start`, and `start` does not wait for a store
 * that is away: the service comes up when it is back. One that stands alone serves meanwhile.
 */
export function composeService(info: ServiceInfo, wiring: Wiring): ComposedService {
  const { clock, random } = wiring;
  const log = wiring.log.child({ service: info.name });
  const assembled = assembleService(info, wiring);
  const { stores, parts } = assembled;
  const work = createServiceWork(assembled, wiring);
  const stopping = new AbortController();
  const { signal } = stopping;
  const up = Promise.withResolvers<void>();
  up.promise.catch(() => undefined); // Whoever does not wait for it learns from the log.
  let isUp = false;
  let waiting: string | undefined = "its migrations and consumers have not begun: a store is away";
  let bringingUp: Promise<void> = Promise.resolve();

  const bringUp = async (): Promise<void> => {
    await retry(() => stores.migrate(), {
      ...bringUpBackoff,
      clock,
      random,
      signal,
      isRetryable: isAway,
      onPause: (error, attempt) => {
        if (attempt % attemptsPerLine === 1) log.warn("waiting for a store to come up", { err: error });
      },
    });
    signal.throwIfAborted();
    waiting = "its consumers have not caught up with what was published before it started";
    await work.start();
    await work.caughtUp();
    waiting = undefined;
    isUp = true;
  };
  return {
    info,
    name: info.name,
    served: assembled.running(() => isUp),
    parts,
    subscriptions: assembled.subscriptions,
    stores: stores.all,
    outboxes: work.outboxes,
    rebuild: (topic) => work.rebuild(topic),
    up: up.promise,
    isUp: () => isUp,
    waiting: () => (isUp ? waiting : undefined),
    readiness: async () => (isUp ? readinessOf(assembled, clock) : "starting"),
    start: async () => {
      await stores.start();
      if (info.standsAlone) {
        await work.alone.start();
        isUp = true;
      }
      bringingUp = bringUp().then(up.resolve, (error: unknown) => {
        if (!signal.aborted) log.error("the service cannot come up", { err: error });
        waiting = "its migrations or consumers cannot begin, see its log";
        up.reject(error);
      });
    },
    stop: async () => {
      stopping.abort(new Error(`${info.name} is stopping`));
      await work.stop();
      await bringingUp;
      await work.alone.stop();
      await stores.stop();
    },
  };
}

/** Whether something that a service needs is away, so that it may come up later. */
function isAway(error: unknown): boolean {
  return error instanceof MuinError && error.code === "unavailable";
}
