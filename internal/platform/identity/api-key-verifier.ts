import type { Clock } from "../clock/clock.ts";
import type { MuinError } from "../errors/muin-error.ts";
import type { Logger } from "../telemetry/logger.ts";
import { createLruMap } from "../cache/lru-map.ts";
import type { Caller } from "./caller.ts";
import { identityErrors } from "./errors.ts";
import { createFailedLookups } from "./failed-lookups.ts";
import { networkOf, type Peer } from "./network.ts";
import { createRevocations } from "./revocations.ts";

/** A key as auth tells it. */
export interface VerifiedApiKey {
  readonly id: string;
  readonly scopes: readonly string[];
  /** When it ends, in milliseconds since the Unix epoch; `undefined` for never. */
  readonly expireTimeMs: number | undefined;
}

/** How keys are looked up, and who is told of refusals. */
export interface ApiKeyVerifierDeps {
  /** Whose secret has this SHA-256; `undefined` for nobody's. Rejects when auth cannot be asked. */
  verifyApiKey(secretHash: Uint8Array<ArrayBuffer>): Promise<VerifiedApiKey | undefined>;
  /** Age of the bus's newest heartbeat in milliseconds: old means that revocations may not arrive. */
  heartbeatAgeMs(): number;
  /** The one error of bad credentials; tells the log and the metrics why. */
  readonly refused: (why: string) => MuinError;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Tells who holds an API key. */
export interface ApiKeyVerifier {
  /**
   * The caller, at once when the key was confirmed lately. Throws or rejects with MuinError otherwise. Keys that were never confirmed
   * are asked for within bounds: of each network and of all, apart from those that were.
   */
  callerOf(secret: string, peer?: Peer): Caller | Promise<Caller>;
  /** From now on the key is not accepted. */
  apiKeyRevoked(apiKeyId: string): void;
  /** Keys may have been revoked unheard: each is asked for again. */
  revocationsMissed(): void;
}

/** A key is good for this long after auth confirmed it, even when auth is away. */
const confirmedMsMax = 60_000;
/** A key in use is confirmed anew beside its calls from this age on, so that they neither wait nor notice a restart of auth. */
const refreshMs = 30_000;
/** Above this age of the heartbeat, cached keys are asked for again, each at most once in `askAgainMs`. */
const heartbeatAgeMsMax = 2000;
const askAgainMs = 1000;
const keysMax = 20_000;
const revokedKeysMax = 1_000_000;
/** Unknown secrets are remembered, so that repeating one costs auth nothing. */
const unknownMs = 5000;
const unknownMax = 10_000;
/** Questions to auth under way at once, and those of them for keys that were never confirmed. */
const questionsMax = 256;
const strangeQuestionsMax = 128;
/** Keys that turn out to be nobody's, of one network in a minute; beyond, one a second is asked for. */
const failedLookups = { failuresMax: 30, windowMs: 60_000, reservedEveryMs: 1000, subjectsMax: 10_000 } as const;

interface Known {
  readonly caller: Extract<Caller, { kind: "api_key" }>;
  readonly expireTimeMs: number;
  /** When the question began that auth confirmed: what was revoked before has been seen by it. */
  readonly confirmedAtMs: number;
  /** When auth was last asked, successfully or not. */
  askedAtMs: number;
}

/** A verifier that knows no key yet: the first call with each asks auth. */
export function createApiKeyVerifier(deps: ApiKeyVerifierDeps): ApiKeyVerifier {
  const { clock, refused, log } = deps;
  const keys = createLruMap<Known>(keysMax);
  const unknown = createLruMap<number>(unknownMax);
  const revoked = createRevocations(clock, revokedKeysMax);
  const isUnknown = (hash: string): boolean => (unknown.get(hash) ?? 0) > clock.monotonic();
  const strange = createStrangeQuestions(clock, isUnknown);
  const questions = new Map<string, Promise<Caller>>();
  /** When the bus was last found silent: what was confirmed before may have been revoked unheard. */
  let silentAtMs = Number.NEGATIVE_INFINITY;

  const isOver = (known: Known): boolean => clock.now() >= known.expireTimeMs || revoked.has(known.caller.id);

  const isGood = (known: Known): boolean => clock.monotonic() - known.confirmedAtMs < confirmedMsMax && !isOver(known);

  const isDoubtful = (known: Known): boolean => {
    const now = clock.monotonic();
    if (deps.heartbeatAgeMs() > heartbeatAgeMsMax) silentAtMs = now;
    return known.confirmedAtMs <= silentAtMs && now - known.askedAtMs >= askAgainMs;
  };

  const isAging = ({ confirmedAtMs, askedAtMs }: Known): boolean => {
    const now = clock.monotonic();
    return now - confirmedAtMs >= refreshMs && now - askedAtMs >= askAgainMs;
  };

  const ask = async (secret: string, hash: string): Promise<Caller> => {
    const askedAtMs = clock.monotonic();
    const before = keys.get(hash);
    if (before !== undefined) before.askedAtMs = askedAtMs;
    let answer: VerifiedApiKey | undefined;
    try {
      answer = await deps.verifyApiKey(Bun.SHA256.hash(secret) as Uint8Array<ArrayBuffer>);
    } catch (error) {
      if (before !== undefined && isGood(before)) return before.caller;
      log.warn("an API key could not be verified", { err: error });
      throw identityErrors.apiKeysUnavailable({ cause: error });
    }
    if (answer === undefined) {
      keys.delete(hash);
      unknown.set(hash, clock.monotonic() + unknownMs);
      throw refused("unknown API key");
    }
    const known: Known = {
      caller: { kind: "api_key", id: answer.id, principal: `api_key:${answer.id}`, scopes: new Set(answer.scopes) },
      expireTimeMs: answer.expireTimeMs ?? Number.POSITIVE_INFINITY,
      confirmedAtMs: askedAtMs,
      askedAtMs,
    };
    // The answer may be older than a revocation that came while it was on its way.
    if (!isGood(known)) throw refused("ended API key");
    keys.set(hash, known);
    return known.caller;
  };

  /** One question at a time for one secret, however many calls wait for it. */
  const question = (secret: string, hash: string): Promise<Caller> => {
    let asked = questions.get(hash);
    if (asked === undefined) {
      asked = ask(secret, hash).finally(() => questions.delete(hash));
      questions.set(hash, asked);
    }
    return asked;
  };

  return {
    callerOf: (secret, peer) => {
      const hash = Bun.SHA256.hash(secret, "base64");
      const known = keys.get(hash);
      if (known !== undefined && isGood(known) && !isDoubtful(known)) {
        if (isAging(known) && questions.size < questionsMax) {
          question(secret, hash).catch(() => undefined); // The next call is refused for the same reason.
        }
        return known.caller;
      }
      if (isUnknown(hash)) throw refused("unknown API key");
      if (known !== undefined && isOver(known)) throw refused("ended API key");
      if (questions.size >= questionsMax && !questions.has(hash)) throw identityErrors.overloaded();
      if (known !== undefined || questions.has(hash)) return question(secret, hash);
      return strange(hash, peer, () => question(secret, hash));
    },
    revocationsMissed: () => void (silentAtMs = clock.monotonic()),
    apiKeyRevoked: (apiKeyId) => revoked.add(apiKeyId),
  };
}

/**
 * Bounds the questions for keys that were never confirmed, of each network and of all: whoever guesses costs auth no more.
 * `isUnknown` tells of a hash that auth has just called nobody's.
 */
function createStrangeQuestions(clock: Clock, isUnknown: (hash: string) => boolean) {
  const failures = createFailedLookups({ ...failedLookups, clock });
  let underWay = 0;
  return async (hash: string, peer: Peer | undefined, question: () => Promise<Caller>): Promise<Caller> => {
    if (underWay >= strangeQuestionsMax) throw identityErrors.overloaded();
    const network = networkOf(peer?.address() ?? "");
    if (!failures.charge(network)) throw identityErrors.tooManyFailedKeys();
    underWay++;
    try {
      return await question();
    } finally {
      underWay--;
      if (!isUnknown(hash)) failures.forgive(network); // It is somebody's, or auth could not be asked.
    }
  };
}
