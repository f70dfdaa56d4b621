import type { Redis } from "ioredis";
import { awake, type Clock } from "../clock/clock.ts";

/** Looks in the time that a connection may be silent. */
const looksMax = 10;

/**
 * Cuts a connection off whose server owes an answer and sends nothing for `msMax` milliseconds. The driver's own watch counts time in
 * which this process could not run, and so would cut off a server whose answer lies here unread. Returned is what must be called
 * after each command.
 */
export function createSilenceWatch(client: Redis, msMax: number, clock: Clock): () => void {
  let watched: Redis["stream"] | undefined;
  const owesNothing = (): boolean => client.commandQueue.length === 0;

  const watch = async (stream: Redis["stream"], closed: AbortSignal): Promise<void> => {
    let heard = false;
    const hear = (): void => void (heard = true);
    stream.on("data", hear);
    try {
      for (let silent = 0; silent < looksMax; silent = heard ? 0 : silent + 1) {
        if (owesNothing()) return;
        heard = false;
        await awake(clock).sleep(msMax / looksMax, closed);
      }
      stream.destroy(new Error(`nothing came for ${msMax} ms though an answer is due`));
    } finally {
      stream.off("data", hear);
    }
  };
  return () => {
    const { stream } = client;
    if (stream === watched || owesNothing()) return;
    watched = stream;
    const closed = new AbortController();
    const close = (): void => closed.abort();
    stream.once("close", close);
    const end = (): void => {
      stream.off("close", close);
      if (watched === stream) watched = undefined;
    };
    watch(stream, closed.signal).then(end, end); // It is closed then.
  };
}
