import type { Clock } from "../../../platform/clock/clock.ts";
import { isUuid, type Random } from "../../../platform/clock/random.ts";
import { MuinError } from "../../../platform/errors/muin-error.ts";
import type { CallSignature } from "../../../platform/identity/call-signature.ts";
import type { Caller } from "../../../platform/identity/caller.ts";
import { deviceKeyOf } from "../../../platform/identity/signed-call.ts";
import { deviceSubjectPrefix } from "../../../platform/identity/token-claims.ts";
import { takeLock } from "../../../platform/postgres/advisory-lock.ts";
import type { Database, Transaction } from "../../../platform/postgres/database.ts";
import { hasScope } from "../../../platform/resource/caller-scopes.ts";
import { pageOf } from "../../../platform/resource/page-token.ts";
import type { ClientInfo } from "../audit/client.ts";
import type { AuditStore } from "../audit/store.ts";
import { isRefusal, refuse, type Refusal } from "../errors.ts";
import { publishDeviceRevoked, type AuthPublish } from "../events.ts";
import { networkOf } from "../lockout/network.ts";
import type { Lockout } from "../lockout/rules.ts";
import type { Vault } from "../secret/vault.ts";
import type { IssuedToken, TokenIssuer } from "../token/issuer.ts";
import { makeActivationCode, normaliseActivationCode } from "./activation-code.ts";
import type { Device, DeviceStore } from "./store.ts";

/** An activation code is good for so long. */
const activationCodeLifeMs = 60 * 60_000;
/** Devices of an installation that are not revoked. */
const liveDevicesMax = 10_000;
const manageScope = "devices.manage";

/** Whose devices a caller manages: all, or those of the branches of one owner. */
export type DeviceManager = "all" | { readonly ownerId: string };

/** A device that waits for its key. */
export interface RegisteredDevice {
  readonly device: Device;
  readonly activationCode: string;
  readonly activationExpireTimeMs: number;
}

/** A page of devices, newest first. */
export interface DevicePage {
  readonly page: readonly Device[];
  /** Empty on the last page. */
  readonly nextPageToken: string;
}

type Forbidden = Refusal<"deviceForbidden">;

/** The rules of devices. */
export interface Devices {
  /** Makes a device for branches that the caller may speak for. */
  register(
    device: { readonly displayName: string; readonly branchIds: readonly string[] },
    caller: Caller,
    client: ClientInfo,
  ): Promise<RegisteredDevice | Forbidden | Refusal<"branchNotFound" | "tooManyDevices">>;
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
  /** Devices that the caller manages, revoked ones only with `showRevoked`; of one branch where `branchId` is not empty. */
  list(
    caller: Caller,
    request: {
      readonly pageSize: number;
      readonly pageToken: string;
      readonly branchId: string;
      readonly showRevoked: boolean;
    },
  ): Promise<DevicePage | Forbidden>;
  /** Ends a device; one that was revoked stays so. */
  revoke(
    deviceId: string,
    caller: Caller,
    client: ClientInfo,
  ): Promise<Forbidden | Refusal<"deviceNotFound" | "branchNotFound"> | undefined>;
}

/** The devices of a database, with tokens from `tokens`. */
export function createDevices(deps: {
  readonly database: Database;
  readonly store: DeviceStore;
  readonly audit: Pick<AuditStore, "append">;
  readonly publish: AuthPublish;
  readonly vault: Vault;
  readonly lockout: Pick<Lockout, "charge" | "forgive">;
  readonly tokens: Pick<TokenIssuer, "issueDevice">;
  readonly clock: Clock;
  readonly random: Random;
}): Devices {
  const { database, store, audit, publish, vault, lockout, tokens, clock, random } = deps;

  /** Why the manager may not speak for all of these branches; `undefined` when they may. */
  const refusalFor = async (tx: Transaction, branchIds: readonly string[], manager: DeviceManager) => {
    const ownerOf = await store.ownersOf(tx, branchIds);
    for (const branchId of branchIds) {
      const owner = ownerOf.get(branchId);
      if (manager !== "all" && owner !== manager.ownerId) return forbidden();
      if (owner === undefined) return refuse("branchNotFound", { branch_id: branchId });
    }
    return undefined;
  };

  const giveKey = async (
    tx: Transaction,
    device: Device,
    publicKey: Uint8Array,
    client: ClientInfo,
  ): Promise<Device> => {
    const nowMs = clock.now();
    const active = await store.activate(tx, device.deviceId, publicKey, nowMs);
    const subject = subjectOf(device.deviceId);
    const act = { action: "ACTIVATE_DEVICE", outcome: "DONE", client, principal: subject, subject } as const;
    await audit.append(tx, act, nowMs);
    return active ?? device;
  };

  return {
    register: async ({ displayName, branchIds }, caller, client) => {
      const manager = managerOf(caller);
      if (isRefusal(manager)) return manager;
      return database.transaction(async (tx) => {
        const refusal = await refusalFor(tx, branchIds, manager);
        if (refusal !== undefined) return refusal;
        await takeLock(tx, "muin auth devices");
        if ((await store.countLive(tx)) >= liveDevicesMax) {
          return refuse("tooManyDevices", { max: String(liveDevicesMax) });
        }
        const createTimeMs = clock.now();
        const deviceId = random.uuid();
        const activationCode = makeActivationCode(random);
        const activationHash = hashOf(vault, activationCode);
        const activationExpireTimeMs = createTimeMs + activationCodeLifeMs;
        const row = { deviceId, displayName, branchIds, activationHash, activationExpireTimeMs, createTimeMs };
        const device = await store.insert(tx, row);
        const act = { action: "REGISTER_DEVICE", outcome: "DONE", client, subject: subjectOf(deviceId) } as const;
        await audit.append(tx, { ...act, detail: branchIds.join(" ") }, createTimeMs);
        return { device, activationCode, activationExpireTimeMs };
      });
    },

    activate: async (code, publicKey, signature, client) => {
      signature.prove(deviceKeyOf(Buffer.from(publicKey).toString("base64url")));
      // Counted as wrong before it is looked at, so that many guesses at once are no more than many in a row.
      const charged = await lockout.charge({ email: "", network: networkOf(client.address) });
      if (isRefusal(charged)) return charged;
      const outcome = await database.transaction(async (tx) => {
        const device = await store.lockByCode(tx, hashOf(vault, code), clock.now());
        const isRepeat = device?.publicKey !== undefined && Buffer.compare(device.publicKey, publicKey) === 0;
        if (device === undefined || (device.publicKey !== undefined && !isRepeat)) {
          return refuse("activationCodeInvalid");
        }
        if (!isRepeat && (await store.hasKey(tx, publicKey))) return refuse("deviceKeyTaken");
        await lockout.forgive(tx, charged, "whole");
        return isRepeat ? device : giveKey(tx, device, publicKey, client);
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
      if (!isProvenBy(x, signature)) return refuse("deviceInvalid");
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

    list: async (caller, { pageSize, pageToken, branchId, showRevoked }) => {
      const manager = managerOf(caller);
      if (isRefusal(manager)) return manager;
      const query = { ownerId: manager === "all" ? undefined : manager.ownerId, branchId, withRevoked: showRevoked };
      return pageOf(
        ["ListDevices", query],
        { pageSize, pageToken },
        (beforeId, limit) => store.list(database.sql, { ...query, beforeId }, limit),
        (device) => device.deviceId,
        isUuid,
      );
    },

    revoke: async (deviceId, caller, client) => {
      const manager = managerOf(caller);
      if (isRefusal(manager)) return manager;
      return database.transaction(async (tx) => {
        const device = isUuid(deviceId) ? await store.lock(tx, deviceId) : undefined;
        if (device === undefined) return manager === "all" ? refuse("deviceNotFound") : forbidden();
        const refusal = manager === "all" ? undefined : await refusalFor(tx, device.branchIds, manager);
        if (refusal !== undefined) return refusal;
        if (device.revokeTimeMs !== undefined) return undefined;
        const nowMs = clock.now();
        const version = await store.revoke(tx, deviceId, nowMs);
        await publishDeviceRevoked(tx, publish, deviceId, version, nowMs);
        const act = { action: "REVOKE_DEVICE", outcome: "DONE", client, subject: subjectOf(deviceId) } as const;
        await audit.append(tx, act, nowMs);
        return undefined;
      });
    },
  };
}

/** Whose devices the caller manages: an API key without the scope nobody's. */
function managerOf(caller: Caller): DeviceManager | Forbidden {
  if (hasScope(caller, manageScope)) return "all";
  return caller.kind === "person" ? { ownerId: caller.id } : forbidden();
}

function forbidden(): Forbidden {
  return refuse("deviceForbidden", { scope: manageScope });
}

/** Another key's signature is answered as no device at all; a call that is not signed as it must be throws. */
function isProvenBy(x: string, signature: CallSignature): boolean {
  try {
    signature.prove(deviceKeyOf(x));
    return true;
  } catch (error) {
    if (error instanceof MuinError && error.reason === "SIGNATURE_INVALID") return false;
    throw error;
  }
}

/** What of a code is stored and compared; of what can be no code, that of no code. */
function hashOf(vault: Vault, code: string): Uint8Array {
  return vault.mac("activation-code", normaliseActivationCode(code) ?? "");
}

function subjectOf(deviceId: string): string {
  return `${deviceSubjectPrefix}${deviceId}`;
}
