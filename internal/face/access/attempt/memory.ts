import { join } from "node:path";
import type { Clock } from "../../../platform/clock/clock.ts";
import type { Random } from "../../../platform/clock/random.ts";
import type { RedisStore } from "../../../platform/redis/redis-store.ts";
import type { Logger } from "../../../platform/telemetry/logger.ts";
import type { StoreWatch } from "../face-store/watch.ts";
import { createRedisAnswered } from "./answered-redis.ts";
import { createAttempts, type Attempts } from "./attempts.ts";
import { createMemoryAttempts } from "./store-memory.ts";
import { createRedisAttempts } from "./store-redis.ts";
import type { AttemptLimits, AttemptStore } from "./store.ts";
import { createUntold, type Untold } from "./untold.ts";

/** All that remembers attempts: what processes share, what this one knows, and what it has yet to tell. */
export interface AttemptMemory {
  /** What forgets a person who is erased. */
  readonly all: readonly Pick<AttemptStore, "forget">[];
  /** What this process knows. */
  readonly own: Pick<AttemptStore, "forget">;
  readonly untold: Untold;
  readonly attempts: Attempts;
}

export function createAttemptMemory(deps: {
  readonly faces: Pick<RedisStore, "client">;
  /** The instance's, which one process at a time holds. */
  readonly folder: string;
  readonly watch: StoreWatch;
  readonly limits: AttemptLimits;
  readonly clock: Clock;
  readonly random: Pick<Random, "fraction">;
  readonly log: Logger;
}): AttemptMemory {
  const { faces, folder, watch, limits, clock, random, log } = deps;
  const shared = createRedisAttempts(faces, limits);
  const own = createMemoryAttempts(clock, limits);
  const answered = createRedisAnswered(faces, limits);
  const untold = createUntold({ shared: answered, own, folder: join(folder, "untold"), clock, log });
  return { all: [shared, own], own, untold, attempts: createAttempts({ shared, own, untold, watch, clock, random }) };
}
