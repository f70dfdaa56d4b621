import type { Clock } from "../../../platform/clock/clock.ts";
import type { Component } from "../../../platform/lifecycle/component.ts";
import type { Database, Listening } from "../../../platform/postgres/database.ts";
import { createRounds, type Round } from "./rounds.ts";
import { recordedChannel } from "./store-postgres.ts";

/** Pause between attempts to listen while the database is away. */
const retryMs = 1000;

/** Tells whoever waits that entries were recorded, by any process. */
export interface EntryNews extends Component {
  /** What is recorded after this call ends the wait: resolves then, after `ms` milliseconds, or when aborted. */
  next(): Round;
}

export function createEntryNews(database: Pick<Database, "listen">, clock: Clock): EntryNews {
  const stopping = new AbortController();
  let listening: Promise<Listening | undefined> = Promise.resolve(undefined);
  const { ring, next } = createRounds(clock);
  const listen = async (): Promise<Listening | undefined> => {
    while (!stopping.signal.aborted) {
      try {
        return await database.listen(recordedChannel, ring, ring);
      } catch {
        // The database is away. Whoever waits looks by itself meanwhile.
        await clock.sleep(retryMs, stopping.signal).catch(() => undefined);
      }
    }
    return undefined;
  };
  return {
    name: "access news of entries",
    start: () => {
      listening = listen();
      return Promise.resolve();
    },
    stop: async () => {
      stopping.abort();
      await (await listening)?.unlisten().catch(() => undefined); // The connection is gone, and the listening with it.
    },
    next,
  };
}
