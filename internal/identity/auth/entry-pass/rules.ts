import type { Clock } from "../../../platform/clock/clock.ts";
import { isUuid, type Random } from "../../../platform/clock/random.ts";
import type { Refusal } from "../../../platform/errors/refusal.ts";
import type { Caller } from "../../../platform/identity/caller.ts";
import type { Database, Transaction } from "../../../platform/postgres/database.ts";
import { hasScope, personIdOf } from "../../../platform/resource/caller-scopes.ts";
import { refuseField } from "../../../platform/resource/errors.ts";
import { unprovenRefusal } from "../account/proven.ts";
import type { AccountStore } from "../account/store.ts";
import type { ClientInfo } from "../audit/client.ts";
import type { AuditStore } from "../audit/store.ts";
import type { DeviceStore } from "../device/store.ts";
import { refuse } from "../errors.ts";
import { publishEntryPassRevoked, type AuthPublish } from "../events.ts";
import type { TokenIssuer } from "../token/issuer.ts";
import type { EntryPassStore } from "./store.ts";

/** A pass of which nobody says how long it lives. */
const lifeSecondsDefault = 300;
/** Passes of a person that are alive. */
const alivePassesMax = 20;
/** Passes of a person that have not ended by their time: every door remembers those of them that were revoked. */
const unendedPassesMax = 100;
const manageScope = "passes.manage";

/** A pass that was just issued: it is shown this once. */
export interface NewPass {
  readonly passId: string;
  /** The pass itself, signed. */
  readonly pass: string;
  readonly expireTimeMs: number;
}

type Forbidden = Refusal<"passForbidden">;
type PersonRefusal = Refusal<"userNotFound" | "userNotActive" | "emailNotVerified">;

/** How entry passes begin and end. What they are good for, doors tell without asking. */
export interface EntryPasses {
  /** Issues a pass for a branch: an empty `userId` is the caller; 0 seconds are 5 minutes. For another person only with passes.manage. */
  issue(
    request: { readonly userId: string; readonly branchId: string; readonly lifeSeconds: number },
    caller: Caller,
    client: ClientInfo,
  ): Promise<NewPass | Forbidden | PersonRefusal | Refusal<"fieldInvalid" | "branchNotFound" | "tooManyPasses">>;
  /** Ends a pass of the caller's, or anybody's with passes.manage; one that was revoked stays so. */
  revoke(
    passId: string,
    caller: Caller,
    client: ClientInfo,
  ): Promise<Forbidden | Refusal<"entryPassNotFound"> | undefined>;
}

/** The entry passes of a database, signed by `tokens`. */
export function createEntryPasses(deps: {
  readonly database: Database;
  readonly store: EntryPassStore;
  readonly accounts: Pick<AccountStore, "find" | "lock">;
  /** Knows which branches there are. */
  readonly devices: Pick<DeviceStore, "ownersOf">;
  readonly tokens: Pick<TokenIssuer, "issueEntryPass">;
  readonly audit: Pick<AuditStore, "append">;
  readonly publish: AuthPublish;
  readonly clock: Clock;
  readonly random: Random;
}): EntryPasses {
  const { database, store, accounts, devices, tokens, audit, clock, random } = deps;

  /** Why this person gets no pass now. From here on they are neither suspended nor deleted, and get no other, until the transaction ends. */
  const refusalFor = async (tx: Transaction, userId: string, client: ClientInfo) => {
    const unproven = await unprovenRefusal(accounts, tx, client);
    if (unproven !== undefined) return unproven;
    const account = await accounts.lock(tx, userId);
    if (account === undefined) return refuse("userNotFound");
    if (account.isSuspended) return refuse("userNotActive");
    return account.isEmailVerified ? undefined : refuse("emailNotVerified");
  };

  return {
    issue: async ({ userId: asked, branchId, lifeSeconds }, caller, client) => {
      const own = personIdOf(caller);
      const userId = asked === "" ? own : asked;
      if (userId === "") return refuseField("user_id", "must name a person, since the caller is none");
      if (userId !== own && !hasScope(caller, manageScope)) return forbidden();
      if (!isUuid(userId)) return refuse("userNotFound");
      if (!isUuid(branchId)) return refuse("branchNotFound", { branch_id: branchId });
      const passId = random.uuid();
      const lifeMs = (lifeSeconds === 0 ? lifeSecondsDefault : lifeSeconds) * 1000;
      const signed = await tokens.issueEntryPass({ passId, memberId: userId, branchId, lifeMs });
      return database.transaction(async (tx) => {
        const refusal = await refusalFor(tx, userId, client);
        if (refusal !== undefined) return refusal;
        if (!(await devices.ownersOf(tx, [branchId])).has(branchId)) {
          return refuse("branchNotFound", { branch_id: branchId });
        }
        const { alive, unended } = await store.count(tx, userId, clock.now());
        if (alive >= alivePassesMax) return refuse("tooManyPasses", { max: String(alivePassesMax) });
        if (unended >= unendedPassesMax) return refuse("tooManyPasses", { max: String(unendedPassesMax) });
        const { issueTimeMs, expireTimeMs } = signed;
        await store.insert(tx, { passId, userId, branchId, issueTimeMs, expireTimeMs });
        const act = { action: "ISSUE_ENTRY_PASS", outcome: "DONE", client, subject: subjectOf(passId) } as const;
        const detail = `person:${userId} branch:${branchId} ${new Date(expireTimeMs).toISOString()}`;
        await audit.append(tx, { ...act, detail }, clock.now());
        return { passId, pass: signed.token, expireTimeMs };
      });
    },

    revoke: async (passId, caller, client) => {
      const isManager = hasScope(caller, manageScope);
      return database.transaction(async (tx) => {
        const pass = isUuid(passId) ? await store.lock(tx, passId) : undefined;
        const isOwn = pass?.userId !== undefined && pass.userId === personIdOf(caller);
        if (!isManager && !isOwn) return forbidden();
        if (pass === undefined) return refuse("entryPassNotFound");
        if (pass.revokeTimeMs === undefined) await endEntryPass(tx, deps, pass, client);
        return undefined;
      });
    },
  };
}

/** Where passes end: their rows, the events and the records that tell of it, and the time. */
interface EndEntryPassDeps {
  readonly store: Pick<EntryPassStore, "revoke">;
  readonly audit: Pick<AuditStore, "append">;
  readonly publish: AuthPublish;
  readonly clock: Clock;
}

/** Revokes all passes of a person that are alive, each with its event. The person's account must be locked by `tx`. */
export async function endEntryPassesOf(
  tx: Transaction,
  deps: EndEntryPassDeps & { readonly store: Pick<EntryPassStore, "lockAlive"> },
  userId: string,
  client: ClientInfo,
): Promise<void> {
  for (const pass of await deps.store.lockAlive(tx, userId, deps.clock.now())) {
    await endEntryPass(tx, deps, pass, client);
  }
}

/** Revokes a pass that is not revoked yet, with its event. Its row must be locked by `tx`. */
async function endEntryPass(
  tx: Transaction,
  { store, audit, publish, clock }: EndEntryPassDeps,
  { passId, expireTimeMs }: { readonly passId: string; readonly expireTimeMs: number },
  client: ClientInfo,
): Promise<void> {
  const nowMs = clock.now();
  const version = await store.revoke(tx, passId, nowMs);
  await publishEntryPassRevoked(tx, publish, passId, version, nowMs, expireTimeMs);
  const act = { action: "REVOKE_ENTRY_PASS", outcome: "DONE", client, subject: subjectOf(passId) } as const;
  await audit.append(tx, act, nowMs);
}

/** Names a pass in the audit log. */
function subjectOf(passId: string): string {
  return `entry_pass:${passId}`;
}

function forbidden(): Forbidden {
  return refuse("passForbidden", { scope: manageScope });
}
