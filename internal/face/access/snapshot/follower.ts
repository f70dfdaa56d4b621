import type { Clock } from "../../../platform/clock/clock.ts";
import { MuinError } from "../../../platform/errors/muin-error.ts";
import type { Component } from "../../../platform/lifecycle/component.ts";
import type { Logger } from "../../../platform/telemetry/logger.ts";
import type { ChangeId, ChangeReader } from "../../shared/change-stream.ts";

/** Follows a stream of changes from its end at the time of the start. */
export interface Follower extends Component {
  /** All up to here has been applied. `undefined`: where the stream ends is not known yet. */
  readonly position: ChangeId | undefined;
}

/** Pause before a read that failed is made again. */
const pauseMs = 100;

/** Makes one. */
export function createFollower<Change>(options: {
  readonly name: string;
  readonly open: () => ChangeReader<Change>;
  readonly clock: Clock;
  readonly log: Logger;
  readonly apply: (change: Change) => void;
  /** Told after each read that brought something, and when there is a position. */
  readonly moved: () => void;
  /** Told when changes were missed: whatever was made of them is wrong from now on. */
  readonly lost: () => void;
}): Follower {
  const { name, open, clock, log, apply, moved, lost } = options;
  const stopping = new AbortController();
  const { signal } = stopping;
  let position: ChangeId | undefined;
  let running: Promise<void> = Promise.resolve();
  let reader: ChangeReader<Change> | undefined;

  const lose = (): void => {
    position = undefined;
    lost();
  };
  const step = async (from: ChangeReader<Change>): Promise<void> => {
    if (position === undefined) {
      position = await from.end();
      moved();
      return;
    }
    const read = await from.read(position);
    if (signal.aborted) return;
    if (read.kind === "lost") {
      log.warn("changes were missed, and all copies are made anew", { stream: name });
      lose();
      return;
    }
    for (const { change } of read.entries) apply(change);
    ({ position } = read);
    if (read.entries.length > 0) moved();
  };
  const run = async (from: ChangeReader<Change>): Promise<void> => {
    while (!signal.aborted) {
      try {
        await step(from);
      } catch (error) {
        if (signal.aborted) return;
        if (!isAway(error)) {
          log.error("a change could not be applied, and all copies are made anew", { stream: name, err: error });
          lose();
        }
        await clock.sleep(pauseMs, signal).catch(() => undefined); // Ends the loop.
      }
    }
  };
  return {
    name,
    get position() {
      return position;
    },
    start: () => {
      if (signal.aborted) return Promise.resolve();
      reader = open();
      running = run(reader);
      return Promise.resolve();
    },
    stop: async () => {
      stopping.abort();
      reader?.stop();
      await running;
    },
  };
}

/** Whether the store is away: the same is asked again. */
function isAway(error: unknown): boolean {
  return error instanceof MuinError && error.code === "unavailable";
}
