import type { Redis } from "ioredis";
import type { Clock } from "../../clock/clock.ts";
import type { Random } from "../../clock/random.ts";
import { createBell } from "../../lifecycle/bell.ts";
import { timeout } from "../../lifecycle/timeout.ts";
import type { Logger } from "../../telemetry/logger.ts";
import { type Candidacy, type CandidacyOptions, createCandidacy, type KeptCandidacy, leaseMs } from "./candidacy.ts";
import { leaseScript } from "./lease-script.ts";

/** Pause between rounds, each of which renews what is held and takes what is free; up to a tenth more or less by chance. */
const roundMs = 400;

/** Keeps leases of one Redis for a process: one script call a round, however many they are. */
export interface LeaseKeeper {
  /** Seeks leases from now on. */
  seek(options: CandidacyOptions): Candidacy;
  /** Ends the keeping. Candidacies must have stopped, and the client must have been cut off: a question under way is waited for. */
  stop(): Promise<void>;
}

/** Creates a keeper; it begins with the first candidacy. */
export function createLeaseKeeper(options: {
  readonly client: Redis;
  /** Unique among all processes that ever were. */
  readonly holder: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
}): LeaseKeeper {
  const { client, holder, clock, random, log } = options;
  const candidacies = new Set<KeptCandidacy>();
  const stopping = new AbortController();
  const bell = createBell();
  let loop: Promise<void> | undefined;

  const ask = async (): Promise<void> => {
    if (candidacies.size === 0) return;
    const nowMs = clock.monotonic();
    const questions = [...candidacies].map((candidacy) => candidacy.question(nowMs));
    const reply = await leaseScript.run(
      client,
      questions.flatMap(({ keys }) => keys),
      [holder, leaseMs, ...questions.flatMap(({ args }) => args)],
    );
    let at = 0;
    for (const { args, answer } of questions) {
      const count = Number(args[1]);
      answer(reply[at] ?? 0, reply.slice(at + 1, at + 1 + count));
      at += 1 + count;
    }
  };

  const run = async (): Promise<void> => {
    while (!stopping.signal.aborted) {
      bell.reset(); // Before the question, so that what comes during it rings again.
      const answered = ask().catch(() => undefined); // The server is away, which its connection logs.
      // A server that is away or slow must not keep leases from running out here.
      await timeout(clock, leaseMs, answered).catch(() => undefined);
      for (const candidacy of candidacies) candidacy.expire();
      await bell.wait(clock, roundMs * (0.9 + random.fraction() / 5), stopping.signal);
      await answered;
    }
  };

  return {
    seek: (candidacyOptions) => {
      const candidacy = createCandidacy(candidacyOptions, {
        ask: bell.ring,
        clock,
        log,
        onStopped: () => candidacies.delete(candidacy),
      });
      candidacies.add(candidacy);
      loop ??= run();
      bell.ring();
      return candidacy;
    },
    stop: async () => {
      stopping.abort();
      bell.ring();
      await loop;
    },
  };
}
