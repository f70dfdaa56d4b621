import type { DescService } from "@bufbuild/protobuf";
import type { Transport } from "@connectrpc/connect";
import type { Clock } from "../clock/clock.ts";
import type { Random } from "../clock/random.ts";
import { createCallTransport } from "../rpc/client/create-call-transport.ts";
import type { MethodPlans } from "../rpc/call/plan.ts";
import { createLocalLane } from "../rpc/local/lane.ts";
import type { ServiceInfo } from "../service/define-service.ts";
import type { Logger } from "../telemetry/logger.ts";
import type { ProcessTelemetry } from "./process-telemetry.ts";

/** Carries the calls of a process. */
export interface ProcessCalls {
  /** To an RPC service: within the process when it is served here, else to wherever it is. `caller` is the calling service. */
  to(caller: string, target: DescService): Transport;
  /** To an RPC service that every process serves for the services in it: to the process of the service `holder`. */
  toProcessOf(caller: string, target: DescService, holder: string): Transport;
}

/** What carrying calls is made of. */
export interface ProcessCallsOptions {
  /** Services that run here. */
  readonly services: readonly ServiceInfo[];
  /** What is served here. May grow until the first call: services of one process call each other before all of them exist. */
  readonly plans: MethodPlans;
  /** Carries calls to a service that does not run here. */
  remote(target: DescService, holder?: string): Transport;
  readonly telemetry: ProcessTelemetry;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
}

/** Makes it. Every call is guarded by deadline, repetition, circuit breaker and bulkhead, wherever it goes. */
export function createProcessCalls(options: ProcessCallsOptions): ProcessCalls {
  const { services, telemetry, clock, random, log } = options;
  const { metrics, clientObserver, serverObserver } = telemetry;
  const guarded = (target: string, transport: Transport): Transport =>
    createCallTransport({ target, transport, observer: clientObserver, clock, random, metrics });
  const lane = createLocalLane(options.plans, { observer: serverObserver, log, clock });
  const here = (caller: string): Transport => lane({ kind: "service", id: caller, principal: `service:${caller}` });
  return {
    to: (caller, target) => {
      const isHere = services.some(({ serves }) => serves.some(({ typeName }) => typeName === target.typeName));
      return guarded(target.typeName, isHere ? here(caller) : options.remote(target));
    },
    toProcessOf: (caller, target, holder) => {
      const isHere = services.some(({ name }) => name === holder);
      return guarded(`${target.typeName} of ${holder}`, isHere ? here(caller) : options.remote(target, holder));
    },
  };
}
