import { BulkheadRejectedError, bulkhead, TaskCancelledError } from "cockatiel";
import type { Random } from "../../../platform/clock/random.ts";
import type { AuthConfig } from "../config.ts";
import { authErrors } from "../errors.ts";

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

/** Bounds how many passwords are hashed at a time and how many callers wait for it. */
export interface PasswordQueue {
  /**
   * Runs `work` in a slot. Throws OVERLOADED at once when as many wait as may, and CANCELED for a caller that has gone, which loses
   * its place.
   */
  run<T>(signal: AbortSignal, work: (hasher: PasswordHasher) => Promise<T>): Promise<T>;
}

/**
 * A queue of `config.argon2Concurrent` slots in which `config.argon2Waiting` callers may wait. Passwords are compared in NFKC, as NIST
 * SP 800-63B advises.
 */
export function createPasswordQueue(
  config: Pick<AuthConfig, "argon2MemoryKib" | "argon2Passes" | "argon2Concurrent" | "argon2Waiting">,
  random: Random,
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
    hash: (password) => Bun.password.hash(password.normalize("NFKC"), options),
    verify: async (password, hash) => {
      const matches = await Bun.password.verify(password.normalize("NFKC"), hash ?? dummy);
      return matches && hash !== undefined;
    },
    isOutdated: (hash) => !hash.startsWith(prefix),
  };
  const slots = bulkhead(config.argon2Concurrent, config.argon2Waiting);
  return {
    run: async (signal, work) => {
      try {
        return await slots.execute(() => work(hasher), signal);
      } catch (error) {
        if (error instanceof BulkheadRejectedError) throw authErrors.signInOverloaded({ cause: error });
        if (error instanceof TaskCancelledError) throw authErrors.callCanceled({ cause: error });
        throw error;
      }
    },
  };
}

/** Base64 without padding, as the PHC string format writes it. */
function phcBase64(bytes: Uint8Array<ArrayBuffer>): string {
  return bytes.toBase64({ omitPadding: true });
}
