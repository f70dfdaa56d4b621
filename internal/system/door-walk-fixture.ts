import { expect } from "bun:test";
import { AccessService } from "../gen/muin/face/v1/access_service_pb.ts";
import { eventually } from "../platform/testing/eventually.ts";
import {
  ask,
  newPicture,
  strangersPicture,
  type DoorAnswer,
  type DoorDevice,
  type Site,
  type Visitor,
} from "./door-fixture.ts";

/** Somebody at the door, and what it said. */
export interface Visit {
  /** `undefined`: a stranger. */
  readonly visitor: Visitor | undefined;
  readonly answer: DoorAnswer;
  readonly tookMs: number;
}

/** People who come to a door one after the other, most of them members. */
export interface Walk {
  /** Visits so far that were answered. */
  readonly visits: readonly Visit[];
  /** Resolves with the next visits that begin from now on, once there are so many. */
  next(count: number): Promise<readonly Visit[]>;
  /** Nobody comes any more; resolves when the last has gone. */
  stop(): Promise<void>;
}

/** Pause after each visit: the walk shall not be what keeps the machine busy. */
const pauseMs = 10;
/** Every so many visits one is a stranger's. */
const strangerEvery = 4;
/** Time for the visits that are waited for. */
const patienceMs = 30_000;

/** Begins a walk. It comes to the doors at `urls` in turn. */
export function startWalk(
  site: Site,
  where: {
    readonly branchId: string;
    readonly device: DoorDevice;
    readonly visitors: readonly Visitor[];
    readonly urls?: readonly string[];
  },
): Walk {
  const { branchId, device, visitors, urls = [site.urlOf(AccessService)] } = where;
  const visits: Visit[] = [];
  let begun = 0;
  const stopping = new AbortController();
  const come = async (): Promise<void> => {
    while (!stopping.signal.aborted) {
      const number = begun++;
      const visitor = number % strangerEvery === strangerEvery - 1 ? undefined : visitors[number % visitors.length];
      const embedding = visitor === undefined ? strangersPicture() : newPicture(visitor);
      const beganAt = performance.now();
      const answer = await ask(site, device, { branchId, embedding }, urls[number % urls.length]);
      visits.push({ visitor, answer, tookMs: performance.now() - beganAt });
      await Bun.sleep(pauseMs);
    }
  };
  const work = come();
  let broken: unknown;
  work.catch((error: unknown) => (broken = error));
  return {
    visits,
    next: async (count) => {
      const from = begun; // All before may have begun earlier.
      return eventually(
        () => {
          const next = visits.slice(from, from + count);
          if (next.length < count)
            throw new Error(`of ${count} visits ${next.length} were answered`, { cause: broken });
          return next;
        },
        { timeoutMs: patienceMs, unless: () => broken !== undefined },
      );
    },
    stop: async () => {
      stopping.abort();
      await work;
    },
  };
}

/** Whether everybody was told what they should have been: members that they may enter, as themselves, and strangers that they may not. */
export function expectRight(visits: readonly Visit[]): void {
  const told = ({ answer }: Visit) => ({ said: answer.said, memberId: answer.decision?.memberId });
  const due = ({ visitor }: Visit) =>
    visitor === undefined ? { said: "NO_MATCH", memberId: "" } : { said: "ADMITTED", memberId: visitor.userId };
  expect(visits.map(told)).toEqual(visits.map(due));
}
