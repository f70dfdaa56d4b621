import type { Consumer } from "../events/broker.ts";
import type { ServiceInfo } from "../service/define-service.ts";
import type { ComposedService } from "./compose-service.ts";

/** A process whose services stand alone, or one of which some do. */
export interface StandingAlone {
  /** Whether all of its services do: then the process serves without knowing what the bus and auth would tell it. */
  readonly isAlone: boolean;
  /** Why it is not known yet what was revoked lately, or `undefined`. */
  revocationsUnknown(this: void): string | undefined;
  /** What a process that serves all the same is without, for people; empty when it has all. */
  reasons(): readonly string[];
}

/** Whether all services of a process stand alone. */
export function areAlone(services: readonly Pick<ServiceInfo, "standsAlone">[]): boolean {
  return services.length > 0 && services.every(({ standsAlone }) => standsAlone);
}

/** Tells what a process does without. `revocations` is what tells it of revocations. */
export function createStandingAlone(
  services: readonly Pick<ComposedService, "info" | "waiting">[],
  revocations: Pick<Consumer, "caughtUp">,
): StandingAlone {
  const isAlone = areAlone(services.map(({ info }) => info));
  let isCaughtUp = false;
  void revocations.caughtUp.then(() => (isCaughtUp = true));
  const revocationsUnknown = (): string | undefined =>
    isCaughtUp ? undefined : "events: what was revoked lately is not known yet";
  return {
    isAlone,
    revocationsUnknown,
    reasons: () => [
      ...services.flatMap(({ info, waiting }) => {
        const what = waiting();
        return what === undefined ? [] : [`${info.name}: ${what}`];
      }),
      ...(isAlone ? [revocationsUnknown()].filter((unknown) => unknown !== undefined) : []),
    ],
  };
}
