import type { Transaction } from "../../../platform/postgres/database.ts";
import { networkOf } from "../../../platform/identity/network.ts";
import { createAccount, type CreateAccountDeps } from "../account/create.ts";
import type { ClientInfo } from "../audit/client.ts";
import type { AuditStore } from "../audit/store.ts";
import type { Lockout } from "../lockout/rules.ts";
import type { OpenedSession, Sessions } from "../session/rules.ts";
import type { Newcomer, NewcomerStore } from "./store.ts";

/** Where a newcomer's account is made. */
export interface AdmissionDeps extends CreateAccountDeps {
  readonly newcomers: Pick<NewcomerStore, "removeByEmail">;
  readonly audit: Pick<AuditStore, "append">;
}

/**
 * Gives an account to a newcomer who has shown that mail to their address is read, and ends all other sign-ups and invitations of it.
 * Returns its id; `undefined`, without effect, when the address has an account. `tx` must hold the newcomer's lock.
 */
export async function admit(
  tx: Transaction,
  deps: AdmissionDeps,
  { email }: Pick<Newcomer, "email">,
  account: { readonly passwordHash: string; readonly displayName: string },
  client: ClientInfo,
): Promise<string | undefined> {
  const userId = await createAccount(tx, deps, { ...account, email, role: "member" });
  if (userId === undefined) return undefined;
  await deps.newcomers.removeByEmail(tx, email);
  const subject = `person:${userId}`;
  const act = { action: "SIGN_UP", outcome: "DONE", client, principal: subject, subject } as const;
  await deps.audit.append(tx, act, deps.clock.now());
  return userId;
}

/** Opens the first session of an account that `tx` has made. */
export async function openFirst(
  tx: Transaction,
  {
    sessions,
    lockout,
  }: { readonly sessions: Pick<Sessions, "open">; readonly lockout: Pick<Lockout, "rememberNetwork"> },
  userId: string,
  client: ClientInfo,
): Promise<OpenedSession> {
  const opened = await sessions.open(tx, userId, client);
  await lockout.rememberNetwork(tx, userId, networkOf(client.address));
  return opened;
}
