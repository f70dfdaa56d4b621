import { Code, ConnectError, type ServiceImpl } from "@connectrpc/connect";
import {
  Health,
  HealthCheckResponse_ServingStatus as Status,
  type HealthCheckRequest,
} from "../../../gen/grpc/health/v1/health_pb.ts";
import type { Clock } from "../../clock/clock.ts";

/** How often a watcher's service is looked at, in milliseconds. */
const watchIntervalMs = 250;

/** Whose health is told, and by what. */
export interface HealthDeps {
  /** Full names of the services served. */
  readonly services: readonly string[];
  /** Why the process cannot serve; `undefined` when it can. */
  readonly readiness: () => string | undefined;
  readonly clock: Clock;
}

/** Implements grpc.health.v1: every service of a process is as ready as the process, whose own name is "". */
export function createHealth({ services, readiness, clock }: HealthDeps): ServiceImpl<typeof Health> {
  const known = new Set(["", ...services]);
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
        if (status !== last) yield { status };
        last = status;
        await clock.sleep(watchIntervalMs, signal);
      }
    },
  };
}
