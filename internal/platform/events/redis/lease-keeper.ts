import type { Redis } from "ioredis";
import type { Clock } from "../../clock/clock.ts";
import type { Random } from "../../clock/random.ts";
import type { Logger } from "../../telemetry/logger.ts";
import { keys } from "./keys.ts";
import { leaseScript } from "./scripts.ts";

/** A lease lasts so long after its last renewal: with the pause below, the longest until another takes over. */
const leaseMs = 1500;
/** Pause between renewals, and between attempts to take a lease. */
const tickMs = 400;
/** A holder stops relying on its lease so long before the server would give it away. */
const safetyMs = 200;
/** A lease whose work ended by itself is taken again after this. */
const coolDownMsDefault = 500;
/** Work that goes on for so long after its signal is no longer waited for; the fence protects from it. */
const workGraceMs = 2000;

/** A lease in hand. */
export interface Held {
  readonly number: number;
  /** Aborted when the lease was lost, or is to be given up. */
  readonly signal: AbortSignal;
  /** False, with `signal` aborted, once it was not renewed in time: after a pause of the process, before anything else runs. */
  isValid(): boolean;
}

/** Leases that belong together. */
export interface ClaimOptions {
  readonly leases: readonly string[];
  /** Key of the group's list of instances, which share the leases evenly; absent: every lease that is free is taken. */
  readonly membersKey?: string;
  /** Runs while a lease is held. When it settles, the lease is given up and sought again. */
  readonly work: (index: number, held: Held) => Promise<void>;
}

/** A claim under way. */
export interface Claim {
  /** Resolves once the first answer about its leases has come. */
  readonly asked: Promise<void>;
  /** Ends the work, gives the leases up. Idempotent. */
  stop(): Promise<void>;
}

/** All leases of a process: one script call keeps them, however many they are. */
export interface LeaseKeeper {
  claim(options: ClaimOptions): Claim;
  /** Ends the keeping. Claims must have stopped. */
  stop(): Promise<void>;
}

interface Slot {
  readonly key: string;
  state:
    | { readonly kind: "free"; readonly notBeforeMs: number }
    | { readonly kind: "held"; readonly number: number; readonly stop: AbortController; renewedMs: number }
    | { readonly kind: "ended"; readonly number: number; readonly notBeforeMs: number };
}

interface ClaimState {
  readonly options: ClaimOptions;
  readonly slots: readonly Slot[];
  readonly running: Set<Promise<void>>;
  readonly asked: PromiseWithResolvers<void>;
  readonly left: PromiseWithResolvers<void>;
  isStopping: boolean;
}

/** Creates a keeper; it begins with the first claim. */
export function createLeaseKeeper(options: {
  readonly client: Redis;
  /** Unique among all processes that ever were. */
  readonly holder: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
}): LeaseKeeper {
  const { client, holder, clock, random, log } = options;
  const claims = new Set<ClaimState>();
  const stopping = new AbortController();
  let loop: Promise<void> | undefined;
  let bell = Promise.withResolvers<void>();
  const kick = (): void => bell.resolve();

  const expire = (): void => {
    const now = clock.monotonic();
    for (const { slots } of claims) {
      for (const { state } of slots) {
        if (state.kind === "held" && now - state.renewedMs > leaseMs - safetyMs) state.stop.abort();
      }
    }
  };

  const begin = (claim: ClaimState, index: number, slot: Slot, number: number, sentMs: number): void => {
    const stop = new AbortController();
    const state = { kind: "held" as const, number, stop, renewedMs: sentMs };
    slot.state = state;
    const held: Held = {
      number,
      signal: stop.signal,
      isValid: () => {
        expire();
        return !stop.signal.aborted;
      },
    };
    const run = async (): Promise<void> => {
      try {
        await untilGrace(claim.options.work(index, held), stop.signal, clock);
      } catch (error) {
        if (!stop.signal.aborted) log.error("work under a lease failed", { lease: slot.key, err: error });
      }
      const coolDownMs = stop.signal.aborted ? 0 : coolDownMsDefault;
      stop.abort();
      slot.state = { kind: "ended", number, notBeforeMs: clock.monotonic() + coolDownMs };
      claim.running.delete(running);
      kick();
    };
    const running = run();
    claim.running.add(running);
  };

  const tick = async (): Promise<void> => {
    const asked = [...claims];
    if (asked.length === 0) return;
    const keyList: string[] = [];
    const args: (string | number)[] = [holder, leaseMs];
    const sentMs = clock.monotonic();
    for (const claim of asked) {
      const { membersKey } = claim.options;
      if (membersKey !== undefined) keyList.push(membersKey);
      args.push(membersKey === undefined ? "alone" : claim.isStopping ? "leave" : "join", claim.slots.length);
      for (const { key, state } of claim.slots) {
        keyList.push(key);
        args.push(requestOf(state, claim.isStopping, sentMs));
      }
    }
    const sent = asked.map((claim) => claim.slots.map(({ state }) => state));
    const isLeaving = asked.map((claim) => claim.isStopping && claim.running.size === 0);
    const reply = await leaseScript.run(client, keyList, args);
    let at = 0;
    for (const [which, claim] of asked.entries()) {
      let surplus = reply[at++] as number;
      for (const [index, slot] of claim.slots.entries()) {
        const number = reply[at++] as number;
        const before = sent[which]?.[index];
        // What changed while the question was under way is asked about again by the next one.
        if (slot.state !== before) continue;
        if (before.kind === "held") {
          if (number === before.number) before.renewedMs = sentMs;
          else before.stop.abort();
          if (surplus > 0 && !before.stop.signal.aborted) {
            surplus--;
            before.stop.abort();
          }
        } else if (before.kind === "ended") {
          slot.state = { kind: "free", notBeforeMs: before.notBeforeMs };
        } else if (number > 0 && claim.isStopping) {
          slot.state = { kind: "ended", number, notBeforeMs: 0 };
        } else if (number > 0) {
          begin(claim, index, slot, number, sentMs);
        }
      }
      claim.asked.resolve();
      if (isLeaving[which] === true) claim.left.resolve();
    }
  };

  const run = async (): Promise<void> => {
    while (!stopping.signal.aborted) {
      bell = Promise.withResolvers();
      const late = new AbortController();
      const pause = AbortSignal.any([late.signal, stopping.signal]);
      const pauseMs = tickMs * (0.9 + random.fraction() / 5);
      // A server that is away or slow must not keep leases from running out here.
      const answered = tick().catch(() => undefined);
      await Promise.race([answered, clock.sleep(leaseMs, pause).catch(() => undefined)]);
      expire();
      await Promise.race([bell.promise, clock.sleep(pauseMs, pause).catch(() => undefined)]);
      late.abort();
      await answered;
    }
  };

  return {
    claim: (claimOptions) => {
      const claim: ClaimState = {
        options: claimOptions,
        slots: claimOptions.leases.map((lease) => ({
          key: keys.lease(lease),
          state: { kind: "free", notBeforeMs: 0 },
        })),
        running: new Set(),
        asked: Promise.withResolvers(),
        left: Promise.withResolvers(),
        isStopping: false,
      };
      claims.add(claim);
      loop ??= run();
      kick();
      let stopped: Promise<void> | undefined;
      const stop = async (): Promise<void> => {
        claim.isStopping = true;
        for (const { state } of claim.slots) if (state.kind === "held") state.stop.abort();
        while (claim.running.size > 0) await Promise.all(claim.running);
        // One more question gives the leases up; a server that is away finds out by itself.
        kick();
        await Promise.race([claim.left.promise, clock.sleep(tickMs)]);
        claims.delete(claim);
        claim.asked.resolve();
      };
      return { asked: claim.asked.promise, stop: () => (stopped ??= stop()) };
    },
    stop: async () => {
      stopping.abort();
      kick();
      await loop;
    },
  };
}

function requestOf(state: Slot["state"], isStopping: boolean, nowMs: number): string {
  switch (state.kind) {
    case "held":
      return `r${state.number}`;
    case "ended":
      return `x${state.number}`;
    case "free":
      return isStopping || nowMs < state.notBeforeMs ? "-" : "w";
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
