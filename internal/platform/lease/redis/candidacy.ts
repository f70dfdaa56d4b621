import type { Clock } from "../../clock/clock.ts";
import { timeout } from "../../lifecycle/timeout.ts";
import type { Logger } from "../../telemetry/logger.ts";

/** A lease lasts so long after its last renewal, in milliseconds: with the pause between rounds, the longest until another takes over. */
export const leaseMs = 1500;
/** A holder stops relying on its lease so long before the server would give it away. */
const safetyMs = 200;
/** A lease whose work ended by itself is sought again after this. */
const coolDownMs = 500;
/** Work that goes on for so long after its signal is no longer waited for: what it still asks for is fenced. */
const workGraceMs = 2000;
/** The server is given so long to hear that leases are given up; one that is away finds out by itself. */
const leaveMsMax = 400;

/** A lease in hand. */
export interface HeldLease {
  /** Number of the lease's term. */
  readonly number: number;
  /** Aborted when the lease was lost, or is to be given up. */
  readonly signal: AbortSignal;
  /** False, with `signal` aborted, once it was not renewed in time: after a pause of the process, before anything else runs. */
  isValid(): boolean;
}

/** Leases that are sought together. */
export interface CandidacyOptions {
  /** Keys of the leases. */
  readonly leaseKeys: readonly string[];
  /** Key of the list of candidates that share these leases evenly; absent: every lease that is free is taken. */
  readonly sharersKey?: string;
  /** Runs while a lease is held, named by its place among `leaseKeys`. When it settles, the lease is given up and sought again. */
  readonly work: (index: number, held: HeldLease) => Promise<void>;
}

/** Seeks leases until it is stopped. */
export interface Candidacy {
  /** Resolves once the first answer about its leases has come, or it was stopped. */
  readonly asked: Promise<void>;
  /** Ends the work and gives the leases up. Idempotent. */
  stop(): Promise<void>;
}

/** A candidacy's part of one call of `leaseScript`. */
export interface Question {
  readonly keys: readonly string[];
  readonly args: readonly (string | number)[];
  /** Takes its part of the reply: the surplus, then the number of each lease. */
  readonly answer: (surplus: number, numbers: readonly number[]) => void;
}

/** A candidacy as its keeper sees it. */
export interface KeptCandidacy extends Candidacy {
  /** What to ask for at `nowMs`, by the monotonic clock. */
  question(nowMs: number): Question;
  /** Lets go of leases that were not renewed in time. */
  expire(): void;
}

type Slot =
  | { readonly kind: "free"; readonly notBeforeMs: number }
  | { readonly kind: "held"; readonly number: number; readonly stop: AbortController; renewedMs: number }
  | { readonly kind: "ended"; readonly number: number; readonly notBeforeMs: number };

interface CandidacyDeps {
  /** Has the keeper ask at once. */
  readonly ask: () => void;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Creates a candidacy; `onStopped` is called when nothing more has to be asked for it. */
export function createCandidacy(
  { leaseKeys, sharersKey, work }: CandidacyOptions,
  { ask, clock, log, onStopped }: CandidacyDeps & { readonly onStopped: () => void },
): KeptCandidacy {
  const slots: Slot[] = leaseKeys.map(() => ({ kind: "free", notBeforeMs: 0 }));
  const running = new Set<Promise<void>>();
  const asked = Promise.withResolvers<void>();
  const left = Promise.withResolvers<void>();
  let isStopping = false;

  const begin = (index: number, number: number, renewedMs: number): void => {
    const held: Slot = { kind: "held", number, stop: new AbortController(), renewedMs };
    slots[index] = held;
    const run = async (): Promise<void> => {
      const hasEnded = await runHeld((lease) => work(index, lease), held, leaseKeys[index]!, { clock, log });
      slots[index] = { kind: "ended", number, notBeforeMs: hasEnded ? clock.monotonic() + coolDownMs : 0 };
      running.delete(ended);
      ask();
    };
    const ended = run();
    running.add(ended);
  };

  const stop = async (): Promise<void> => {
    isStopping = true;
    for (const slot of slots) if (slot.kind === "held") slot.stop.abort();
    while (running.size > 0) await Promise.all(running);
    ask(); // Once more, to give the leases up.
    await timeout(clock, leaveMsMax, left.promise).catch(() => undefined); // The server is away.
    asked.resolve();
    onStopped();
  };
  let stopped: Promise<void> | undefined;

  return {
    asked: asked.promise,
    expire: () => slots.forEach((slot) => slot.kind === "held" && isOverdue(slot, clock)),
    question: (nowMs) => {
      const before = [...slots];
      const isLeaving = isStopping && running.size === 0;
      return {
        keys: [...(sharersKey === undefined ? [] : [sharersKey]), ...leaseKeys],
        args: [
          sharersKey === undefined ? "alone" : isStopping ? "leave" : "join",
          slots.length,
          ...slots.map((slot) => requestFor(slot, isStopping, nowMs)),
        ],
        answer: (surplus, numbers) => {
          let toGiveUp = surplus;
          for (const [index, slot] of before.entries()) {
            // What changed while the question was under way is asked about again by the next one.
            if (slots[index] !== slot) continue;
            const number = numbers[index] ?? 0;
            if (slot.kind === "held") {
              if (number === slot.number) slot.renewedMs = nowMs;
              else slot.stop.abort();
              if (toGiveUp > 0 && !slot.stop.signal.aborted) {
                toGiveUp--;
                slot.stop.abort();
              }
            } else if (slot.kind === "ended") {
              slots[index] = { kind: "free", notBeforeMs: slot.notBeforeMs };
            } else if (number > 0 && isStopping) {
              slots[index] = { kind: "ended", number, notBeforeMs: 0 };
            } else if (number > 0) {
              begin(index, number, nowMs);
            }
          }
          asked.resolve();
          if (isLeaving) left.resolve();
        },
      };
    },
    stop: () => (stopped ??= stop()),
  };
}

/** Runs work under a lease. Resolves once it has ended, or went on for too long after its signal; true when it ended by itself. */
async function runHeld(
  work: (held: HeldLease) => Promise<void>,
  slot: Extract<Slot, { kind: "held" }>,
  lease: string,
  { clock, log }: Pick<CandidacyDeps, "clock" | "log">,
): Promise<boolean> {
  const { signal } = slot.stop;
  try {
    const held: HeldLease = { number: slot.number, signal, isValid: () => !isOverdue(slot, clock) };
    await untilGrace(work(held), signal, clock);
  } catch (error) {
    if (!signal.aborted) log.error("work under a lease failed", { lease, err: error });
  }
  const hasEndedByItself = !signal.aborted;
  slot.stop.abort();
  return hasEndedByItself;
}

/** Whether the lease is no longer to be relied on; aborts its signal when it was not renewed in time. */
function isOverdue({ renewedMs, stop }: Extract<Slot, { kind: "held" }>, clock: Clock): boolean {
  if (clock.monotonic() - renewedMs > leaseMs - safetyMs) stop.abort();
  return stop.signal.aborted;
}

function requestFor(slot: Slot, isStopping: boolean, nowMs: number): string {
  switch (slot.kind) {
    case "held":
      return `r${slot.number}`;
    case "ended":
      return `x${slot.number}`;
    case "free":
      return isStopping || nowMs < slot.notBeforeMs ? "-" : "w";
  }
}

/** The outcome of `work`; resolves without it when it goes on for too long after the signal. */
async function untilGrace(work: Promise<void>, signal: AbortSignal, clock: Clock): Promise<void> {
  const done = new AbortController();
  const graceOver = new Promise<void>((resolve) => {
    const onAbort = (): void => void clock.sleep(workGraceMs, done.signal).then(resolve, () => undefined);
    if (signal.aborted) onAbort();
    else signal.addEventListener("abort", onAbort, { once: true });
  });
  try {
    await Promise.race([work, graceOver]);
  } finally {
    done.abort();
  }
}
