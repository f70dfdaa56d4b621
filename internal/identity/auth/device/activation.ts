import type { Clock } from "../../../platform/clock/clock.ts";
import { isUuid } from "../../../platform/clock/random.ts";
import { MuinError } from "../../../platform/errors/muin-error.ts";
import type { CallSignature } from "../../../platform/identity/call-signature.ts";
import { deviceKeyOf } from "../../../platform/identity/signed-call.ts";
import { deviceSubjectPrefix } from "../../../platform/identity/token-claims.ts";
import type { Database } from "../../../platform/postgres/database.ts";
import type { ClientInfo } from "../audit/client.ts";
import type { AuditStore } from "../audit/store.ts";
import { isRefusal, type Refusal } from "../../../platform/errors/refusal.ts";
import { refuse } from "../errors.ts";
import { networkOf } from "../../../platform/identity/network.ts";
import type { Lockout } from "../lockout/rules.ts";
import type { Vault } from "../secret/vault.ts";
import type { IssuedToken, TokenIssuer } from "../token/issuer.ts";
import { hashOfCode } from "./activation-code.ts";
import type { Device, DeviceStore } from "./store.ts";

/** What devices do themselves: they have nothing but a code at first, and their own key from then on. */
export interface Activation {
  /** Gives the device that the code stands for its key. Throws unless that key signed the call. */
  activate(
    code: string,
    publicKey: Uint8Array,
    signature: CallSignature,
    client: ClientInfo,
  ): Promise<Device | Refusal<"signInLocked" | "activationCodeInvalid" | "deviceKeyTaken">>;
  /** Issues a token to the device whose key signed the call. Throws for a call without a valid signature. */
  issueToken(
    deviceId: string,
    signature: CallSignature,
    client: ClientInfo,
  ): Promise<IssuedToken | Refusal<"deviceInvalid">>;
}

/** Activates the devices of a database, and gives them tokens from `tokens`. */
export function createActivation(deps: {
  readonly database: Database;
  readonly store: Pick<DeviceStore, "lockByCode" | "hasKey" | "activate" | "findLive" | "markToken">;
  readonly audit: Pick<AuditStore, "append">;
  readonly vault: Vault;
  readonly lockout: Pick<Lockout, "charge" | "forgive">;
  readonly tokens: Pick<TokenIssuer, "issueDevice">;
  readonly clock: Clock;
}): Activation {
  const { database, store, audit, vault, lockout, tokens, clock } = deps;
  return {
    activate: async (code, publicKey, signature, client) => {
      const network = networkOf(client.address);
      await signature.prove(deviceKeyOf(Buffer.from(publicKey).toString("base64url")), { network });
      // Counted as wrong before it is looked at, so that many guesses at once are no more than many in a row.
      const charged = await lockout.charge({ email: "", network });
      if (isRefusal(charged)) return charged;
      const outcome = await database.transaction(async (tx) => {
        const nowMs = clock.now();
        const device = await store.lockByCode(tx, hashOfCode(vault, code), nowMs);
        const isRepeat = device?.publicKey !== undefined && Buffer.compare(device.publicKey, publicKey) === 0;
        if (device === undefined || (device.publicKey !== undefined && !isRepeat)) {
          return refuse("activationCodeInvalid");
        }
        if (!isRepeat && (await store.hasKey(tx, publicKey))) return refuse("deviceKeyTaken");
        await lockout.forgive(tx, charged, "whole");
        if (isRepeat) return device;
        const active = await store.activate(tx, device.deviceId, publicKey, nowMs);
        const subject = subjectOf(device.deviceId);
        const act = { action: "ACTIVATE_DEVICE", outcome: "DONE", client, principal: subject, subject } as const;
        await audit.append(tx, act, nowMs);
        return active ?? device;
      });
      if (isRefusal(outcome) && outcome.refused === "activationCodeInvalid") {
        const act = { action: "ACTIVATE_DEVICE", outcome: "REFUSED", client, subject: "activation_code" } as const;
        await audit.append(database.sql, { ...act, detail: charged.locks ? "LOCK_BEGINS" : "" }, clock.now());
      }
      return outcome;
    },

    issueToken: async (deviceId, signature, client) => {
      const device = isUuid(deviceId) ? await store.findLive(database.sql, deviceId) : undefined;
      if (device?.publicKey === undefined) return refuse("deviceInvalid");
      const { publicKey, branchIds } = device;
      const x = Buffer.from(publicKey).toString("base64url");
      if (!(await isProvenBy(x, signature))) return refuse("deviceInvalid");
      const issued = await tokens.issueDevice({ deviceId, x, branchIds });
      return database.transaction(async (tx) => {
        // Whoever revokes the device after this revokes the token too; after one who came before, nobody gets it.
        const nowMs = clock.now();
        if (!(await store.markToken(tx, deviceId, nowMs))) return refuse("deviceInvalid");
        const subject = subjectOf(deviceId);
        const act = { action: "ISSUE_DEVICE_TOKEN", outcome: "DONE", client, principal: subject, subject } as const;
        await audit.append(tx, { ...act, detail: new Date(issued.expireTimeMs).toISOString() }, nowMs);
        return issued;
      });
    },
  };
}

/** Another key's signature is answered as no device at all; a call that is not signed as it must be throws. */
async function isProvenBy(x: string, signature: CallSignature): Promise<boolean> {
  try {
    await signature.prove(deviceKeyOf(x));
    return true;
  } catch (error) {
    if (error instanceof MuinError && error.reason === "SIGNATURE_INVALID") return false;
    throw error;
  }
}

/** Names a device in the audit log: its principal. */
export function subjectOf(deviceId: string): string {
  return `${deviceSubjectPrefix}${deviceId}`;
}
