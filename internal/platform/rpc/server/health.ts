import { Code, ConnectError, type ServiceImpl } from "@connectrpc/connect";
import {
  Health,
  HealthCheckResponse_ServingStatus as Status,
  type HealthCheckRequest,
} from "../../../gen/grpc/health/v1/health_pb.ts";
import type { Clock } from "../../clock/clock.ts";

/** How often it is looked whether the process can serve, while anybody watches, in milliseconds. */
const watchIntervalMs = 250;

/** Whose health is told, and by what. */
export interface HealthDeps {
  /** Full names of the services served. */
  readonly services: readonly string[];
  /** Why the process cannot serve; `undefined` when it can. */
  readonly readiness: () => string | undefined;
  readonly clock: Clock;
}

/**
 * Implements grpc.health.v1: every service of a process is as ready as the process, whose own name is "". However many watch, one loop
 * looks, and wakes them when something has changed.
 */
export function createHealth({ services, readiness, clock }: HealthDeps): ServiceImpl<typeof Health> {
  const known = new Set(["", ...services]);
  const changes = createChanges(() => readiness() === undefined, clock);
  const statusOf = (service: string): Status => {
    if (!known.has(service)) return Status.SERVICE_UNKNOWN;
    return readiness() === undefined ? Status.SERVING : Status.NOT_SERVING;
  };
  return {
    check: ({ service }) => {
      const status = statusOf(service);
      if (status === Status.SERVICE_UNKNOWN) throw new ConnectError(`unknown service ${service}`, Code.NotFound);
      return { status };
    },
    list: () => ({
      statuses: Object.fromEntries([...known].map((service) => [service, { status: statusOf(service) }])),
    }),
    watch: async function* watch({ service }: HealthCheckRequest, { signal }) {
      let last: Status | undefined;
      while (!signal.aborted) {
        const status = statusOf(service);
        if (status === last) await changes.next(signal);
        else yield { status };
        last = status;
      }
    },
  };
}

/** Tells when a value has changed: `next` resolves then, or when its signal is aborted. */
function createChanges(read: () => boolean, clock: Clock): { next(signal: AbortSignal): Promise<void> } {
  const waiting = new Set<() => void>();
  let isLooking = false;
  const look = async (): Promise<void> => {
    isLooking = true;
    for (let last = read(); waiting.size > 0;) {
      await clock.sleep(watchIntervalMs);
      const value = read();
      if (value === last) continue;
      last = value;
      for (const wake of waiting) wake();
    }
    isLooking = false;
  };
  return {
    next: (signal) =>
      new Promise((resolve) => {
        const wake = (): void => {
          waiting.delete(wake);
          signal.removeEventListener("abort", wake);
          resolve();
        };
        if (signal.aborted) return resolve();
        signal.addEventListener("abort", wake, { once: true });
        waiting.add(wake);
        if (!isLooking) void look(); // Neither the clock nor readiness rejects.
      }),
  };
}
