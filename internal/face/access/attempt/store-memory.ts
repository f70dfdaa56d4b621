import type { Clock } from "../../../platform/clock/clock.ts";
import {
  embeddingKeptMs,
  minuteMs,
  nonceKeptMs,
  pendingMsMax,
  type Attempt,
  type AttemptLimits,
  type AttemptStore,
  type Begun,
  type PassMemory,
  type Settlement,
} from "./store.ts";

/** Devices that a process remembers; of more, the one that was heard of longest ago is forgotten. */
const devicesMax = 10_000;
/** Embeddings of a device that a process remembers, however many the store does; of more, the oldest are forgotten. */
const embeddingsMax = 20_000;
/** Used passes that a process remembers; of more, the oldest is forgotten. */
const passesMax = 100_000;

/**
 * Attempts in the memory of one process, by the rules of the shared store. It goes by a clock that never steps. Of embeddings it knows only the
 * last ones.
 */
export function createMemoryAttempts(
  clock: Pick<Clock, "monotonic">,
  limits: AttemptLimits,
): AttemptStore & PassMemory {
  /** In the order in which they were heard of. */
  const devices = new Map<string, Device>();
  const inside = new Map<string, Map<string, number>>();
  /** Used passes, by until when they are kept. */
  const passes = new Map<string, number>();
  const deviceOf = (deviceId: string): Device => {
    const known = devices.get(deviceId) ?? newDevice();
    devices.delete(deviceId);
    if (devices.size >= devicesMax) devices.delete(devices.keys().next().value!);
    devices.set(deviceId, known);
    return known;
  };
  const isUsed = (passId: string): boolean => (passes.get(passId) ?? -Infinity) > clock.monotonic();
  return {
    isUsed,
    recall: (passId, keptMs) => usePass(passes, { passId, keptMs }, clock.monotonic()),

    begin: (attempt) => Promise.resolve(begin(deviceOf(attempt.deviceId), attempt, clock.monotonic(), limits)),

    settle: ({ deviceId, nonce, fingerprint, entryId }, settlement) => {
      const nowMs = clock.monotonic();
      const device = deviceOf(deviceId);
      const known = device.nonces.get(nonce);
      device.pending.delete(entryId);
      if (known?.entry !== undefined) return Promise.resolve(known.entry);
      const { pass, branchId, memberId } = settlement;
      const { entry, isDenial, moves } =
        pass !== undefined && isUsed(pass.passId)
          ? { entry: pass.entryIfUsed, isDenial: true, moves: undefined }
          : withinCapacity(settlement, inside, nowMs - limits.stayMs);
      if (pass !== undefined && moves === "in") usePass(passes, pass, nowMs);
      device.nonces.delete(nonce);
      device.nonces.set(nonce, { fingerprint, entryId, entry, atMs: nowMs, memberId });
      if (moves !== undefined) {
        const people = inside.get(branchId) ?? new Map<string, number>();
        inside.set(branchId, people);
        people.delete(memberId);
        forgetUntil(people, nowMs - limits.stayMs);
        if (moves === "in") people.set(memberId, nowMs);
        if (people.size === 0) inside.delete(branchId);
      }
      if (isDenial) deny(device, nowMs, limits);
      return Promise.resolve(entry);
    },

    abandon: ({ deviceId, nonce, embedding, entryId }) => {
      const device = deviceOf(deviceId);
      const known = device.nonces.get(nonce);
      if (known?.entryId === entryId && known.entry === undefined) {
        device.nonces.delete(nonce);
        if (embedding !== undefined) device.embeddings.delete(embedding.toString("latin1"));
        device.pending.delete(entryId);
      }
      return Promise.resolve();
    },

    forget: (memberId) => {
      for (const people of inside.values()) people.delete(memberId);
      for (const device of devices.values()) {
        for (const [nonce, known] of device.nonces) if (known.memberId === memberId) device.nonces.delete(nonce);
      }
      return Promise.resolve();
    },
  };
}

interface Device {
  /** In the order in which they came. */
  readonly nonces: Map<string, Known>;
  readonly embeddings: Map<string, { readonly nonce: string; readonly atMs: number }>;
  /** Entries by when they were denied, and begun. */
  denials: number[];
  readonly pending: Map<string, number>;
  lockedUntilMs: number;
  minute: number;
  attempts: number;
}

interface Known {
  readonly fingerprint: Buffer;
  readonly entryId: string;
  /** `undefined` until it is decided. */
  readonly entry: Buffer | undefined;
  readonly atMs: number;
  readonly memberId: string;
}

function newDevice(): Device {
  return {
    nonces: new Map(),
    embeddings: new Map(),
    denials: [],
    pending: new Map(),
    lockedUntilMs: -Infinity,
    minute: -1,
    attempts: 0,
  };
}

function begin(device: Device, attempt: Attempt, nowMs: number, limits: AttemptLimits): Begun {
  const { nonce, fingerprint, isGuess } = attempt;
  forgetPassed(device, nowMs, limits);
  if (isGuess && device.lockedUntilMs > nowMs) {
    return { kind: "locked_out", forMs: Math.ceil(device.lockedUntilMs - nowMs) };
  }
  const embedding = attempt.embedding?.toString("latin1");
  const known = device.nonces.get(nonce);
  let { entryId } = attempt;
  if (known !== undefined) {
    if (!known.fingerprint.equals(fingerprint)) return { kind: "nonce_reused" };
    if (known.entry !== undefined) return { kind: "repeated", entry: known.entry };
    if (nowMs - known.atMs < pendingMsMax) return { kind: "under_way" };
    ({ entryId } = known);
  } else if (embedding !== undefined) {
    const other = device.embeddings.get(embedding);
    if (other !== undefined) return { kind: other.nonce === nonce ? "nonce_reused" : "embedding_replayed" };
    if (device.embeddings.size >= limits.embeddingsPerDeviceMax) return { kind: "embeddings_full" };
  }
  const minute = Math.floor(nowMs / minuteMs);
  const attempts = device.minute === minute ? device.attempts : 0;
  if (attempts >= limits.attemptsPerMinuteMax) return { kind: "too_many" };
  if (isGuess && device.denials.length + device.pending.size >= limits.denialsMax) return { kind: "busy" };
  device.minute = minute;
  device.attempts = attempts + 1;
  device.nonces.delete(nonce);
  device.nonces.set(nonce, { fingerprint, entryId, entry: undefined, atMs: nowMs, memberId: "" });
  if (embedding !== undefined) {
    device.embeddings.set(embedding, { nonce, atMs: nowMs });
    if (device.embeddings.size > embeddingsMax) device.embeddings.delete(device.embeddings.keys().next().value!);
  }
  if (isGuess) device.pending.set(entryId, nowMs);
  return { kind: "first", entryId };
}

function forgetPassed(device: Device, nowMs: number, { denialsWindowMs }: AttemptLimits): void {
  for (const [nonce, { atMs }] of device.nonces) {
    if (atMs > nowMs - nonceKeptMs) break;
    device.nonces.delete(nonce);
  }
  for (const [embedding, { atMs }] of device.embeddings) {
    if (atMs > nowMs - embeddingKeptMs) break;
    device.embeddings.delete(embedding);
  }
  device.denials = device.denials.filter((atMs) => atMs >= nowMs - denialsWindowMs);
  for (const [entryId, atMs] of device.pending) if (atMs <= nowMs - pendingMsMax) device.pending.delete(entryId);
}

function deny(device: Device, nowMs: number, { denialsMax, denialsWindowMs, lockoutMs }: AttemptLimits): void {
  device.denials = [...device.denials.filter((atMs) => atMs >= nowMs - denialsWindowMs), nowMs];
  if (device.denials.length < denialsMax) return;
  device.denials = [];
  device.lockedUntilMs = nowMs + lockoutMs;
}

/** Notes that a pass is used up; forgets those that have ended, and beyond a bound the oldest. */
function usePass(
  passes: Map<string, number>,
  pass: { readonly passId: string; readonly keptMs: number },
  nowMs: number,
): void {
  for (const [passId, untilMs] of passes) {
    if (untilMs > nowMs && passes.size < passesMax) break;
    passes.delete(passId);
  }
  passes.set(pass.passId, nowMs + pass.keptMs);
}

/** What holds, as many are inside. */
function withinCapacity(
  settlement: Settlement,
  inside: ReadonlyMap<string, ReadonlyMap<string, number>>,
  sinceMs: number,
): Pick<Settlement, "entry" | "isDenial" | "moves"> {
  const { branchId, memberId, unlessFull } = settlement;
  if (unlessFull === undefined) return settlement;
  const people = inside.get(branchId) ?? new Map<string, number>();
  let others = 0;
  for (const [id, atMs] of people) if (id !== memberId && atMs > sinceMs) others += 1;
  return others >= unlessFull.capacityMax ? { entry: unlessFull.entry, isDenial: false, moves: undefined } : settlement;
}

/** Forgets who came in at that time or before: those in front, since later ones stand behind. */
function forgetUntil(people: Map<string, number>, untilMs: number): void {
  for (const [memberId, atMs] of people) {
    if (atMs > untilMs) return;
    people.delete(memberId);
  }
}
