import type { TokenKey } from "./key-set.ts";

/** A credential that ended before its time. */
export interface KeptRevocation {
  readonly kind: "session" | "device" | "service" | "pass";
  /** Of the session, the device or the entry pass, or the service's name. */
  readonly id: string;
  /** When its last token was issued, in milliseconds since 1970; of a device, when it was revoked; of a pass, when it would have ended. */
  readonly untilMs: number;
}

/** What a process kept of who calls. */
export interface KeptIdentity {
  /** The keys by which tokens were verified last. */
  readonly keys: readonly TokenKey[];
  /** What was revoked, and may still have a token that lives. */
  readonly revocations: readonly KeptRevocation[];
  /** Whether revocations may have gone unheard that were not asked of auth yet. */
  readonly isUnheard: boolean;
}

/** Keeps what a process knows of who calls beyond its end, so that a later one can tell who calls while auth and the bus are away. */
export interface IdentityKeeper {
  /** What an earlier process kept. After the start. */
  kept(): KeptIdentity;
  /** From now on tokens are verified by these keys. */
  keysFetched(keys: readonly TokenKey[]): void;
  /** Something was revoked. */
  revoked(revocation: KeptRevocation): void;
  /** Whether revocations may have gone unheard until auth has been asked. */
  unheard(isUnheard: boolean): void;
}
