import type { Clock } from "../../../platform/clock/clock.ts";
import type { Random } from "../../../platform/clock/random.ts";
import type { AuthConfig } from "../config.ts";
import type { Refusal } from "../../../platform/errors/refusal.ts";
import { refuseField } from "../../../platform/resource/errors.ts";
import { authErrors } from "../errors.ts";
import { createPlaces, type Rank } from "./places.ts";

/** Characters of a new password. */
const passwordCharsMin = 10;
/** Characters of any password. */
export const passwordCharsMax = 256;
const saltBytes = 32;
const digestBytes = 32;

/** Hashes and verifies; to be had only in a slot of the queue. */
export interface PasswordHasher {
  /** Argon2id hash as a PHC string. */
  hash(password: string): Promise<string>;
  /** Whether the password has this hash. Without a hash it costs the same and is false. */
  verify(password: string, hash: string | undefined): Promise<boolean>;
  /** Whether the hash was made with other parameters than the present ones. */
  isOutdated(hash: string): boolean;
}

/** For whom a password is hashed. */
export interface PasswordCaller {
  /** How they come, before more is known of them. */
  readonly rank: Rank;
  /** As `networkOf` gives it. */
  readonly network: string;
  /** Whether who signs in is known after all; asked for only when they have to wait. */
  readonly isKnown?: () => Promise<boolean>;
}

/** Bounds how many passwords are hashed at a time and how many callers wait for it. */
export interface PasswordQueue {
  /**
   * Runs `work` in a slot. Throws OVERLOADED at once when as many wait as may, or when it took too long till a slot was free, and
   * CANCELED for a caller that has gone, which loses its place.
   */
  run<T>(caller: PasswordCaller, signal: AbortSignal, work: (hasher: PasswordHasher) => Promise<T>): Promise<T>;
}

/** Questions whether somebody is known that are under way at once; beyond, who signs in waits as a stranger. */
const questionsMax = 16;

/**
 * A queue of `config.argon2Concurrent` slots, with bounds for those who wait as `Places` has them.
 */
export function createPasswordQueue(
  config: Pick<AuthConfig, Extract<keyof AuthConfig, `argon2${string}`>>,
  random: Random,
  clock: Pick<Clock, "sleep">,
): PasswordQueue {
  const options = {
    algorithm: "argon2id",
    memoryCost: config.argon2MemoryKib,
    timeCost: config.argon2Passes,
  } as const;
  const prefix = `$argon2id$v=19$m=${config.argon2MemoryKib},t=${config.argon2Passes},p=1$`;
  // Nobody's hash: random bytes in place of a digest, so that verifying costs a whole computation and never succeeds.
  const dummy = `${prefix}${phcBase64(random.bytes(saltBytes))}$${phcBase64(random.bytes(digestBytes))}`;
  const hasher: PasswordHasher = {
    hash: (password) => Bun.password.hash(normalised(password), options),
    verify: async (password, hash) => {
      const matches = await Bun.password.verify(normalised(password), hash ?? dummy);
      return matches && hash !== undefined;
    },
    isOutdated: (hash) => !hash.startsWith(prefix),
  };
  const places = createPlaces(
    {
      concurrentMax: config.argon2Concurrent,
      waitingMax: config.argon2Waiting,
      waitingPerNetworkMax: config.argon2WaitingPerNetwork,
      waitMsMax: config.argon2WaitMs,
    },
    clock,
  );
  let questions = 0;
  const rankOf = async ({ rank, isKnown }: PasswordCaller): Promise<Rank> => {
    if (isKnown === undefined || !places.isFull() || questions >= questionsMax) return rank;
    questions++;
    try {
      return (await isKnown()) ? "known" : rank;
    } finally {
      questions--;
    }
  };
  return {
    run: async (caller, signal, work) => {
      const place = await places.take(await rankOf(caller), caller.network, signal);
      if (place === "gone") throw authErrors.callCanceled();
      if (typeof place === "string") throw authErrors.signInOverloaded({ cause: new Error(place) });
      try {
        return await work(hasher);
      } finally {
        place();
      }
    },
  };
}

/** The form in which passwords are hashed, compared and counted: NFKC, as NIST SP 800-63B advises. */
function normalised(password: string): string {
  return password.normalize("NFKC");
}

/** How many characters a password has: code points of its normalised form, which may be more or fewer than were written. */
export function passwordChars(password: string): number {
  return Array.from(normalised(password)).length;
}

/** Refuses what cannot become a password, by the field of the request that holds it; `undefined` for what can. */
export function refuseNewPassword(field: string, password: string): Refusal<"fieldInvalid"> | undefined {
  const chars = passwordChars(password);
  if (chars >= passwordCharsMin && chars <= passwordCharsMax) return undefined;
  return refuseField(
    field,
    `in NFKC it must have ${passwordCharsMin} to ${passwordCharsMax} characters; it has ${chars}`,
  );
}

/** Base64 without padding, as the PHC string format writes it. */
function phcBase64(bytes: Uint8Array<ArrayBuffer>): string {
  return bytes.toBase64({ omitPadding: true });
}
