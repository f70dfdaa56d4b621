import { isUuid } from "../../../platform/clock/random.ts";
import type { Refusal } from "../../../platform/errors/refusal.ts";
import type { Sql } from "../../../platform/postgres/database.ts";
import type { ClientInfo } from "../audit/client.ts";
import { refuse } from "../errors.ts";
import type { Account, AccountStore } from "./store.ts";

/**
 * Why a caller makes nothing that outlasts a proof of their address; `undefined` for who is no person, and for who has proven it. Only
 * an account from before that was asked for has not.
 */
export async function unprovenRefusal(
  accounts: Pick<AccountStore, "find">,
  on: Sql,
  { principal }: Pick<ClientInfo, "principal">,
): Promise<Refusal<"emailNotVerified"> | undefined> {
  const [, personId = ""] = principal.split("person:", 2);
  if (!isUuid(personId)) return undefined;
  const account = await accounts.find(on, personId);
  return account?.isEmailVerified === false ? refuse("emailNotVerified") : undefined;
}

/** Whether the time to prove the address of an account is over, which then goes: from then on nothing proves it. */
export function isLapsed({ isEmailVerified, proveByTimeMs }: Account, nowMs: number): boolean {
  return !isEmailVerified && proveByTimeMs !== undefined && nowMs >= proveByTimeMs;
}
