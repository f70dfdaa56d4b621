import type { Clock } from "../../../platform/clock/clock.ts";
import { isUuid, type Random } from "../../../platform/clock/random.ts";
import type { Caller } from "../../../platform/identity/caller.ts";
import { takeLock } from "../../../platform/postgres/advisory-lock.ts";
import type { Database, Transaction } from "../../../platform/postgres/database.ts";
import { hasScope } from "../../../platform/resource/caller-scopes.ts";
import { pageOf } from "../../../platform/resource/page-token.ts";
import { unprovenRefusal } from "../account/proven.ts";
import type { AccountStore } from "../account/store.ts";
import type { ClientInfo } from "../audit/client.ts";
import type { AuditStore } from "../audit/store.ts";
import { isRefusal, type Refusal } from "../../../platform/errors/refusal.ts";
import { refuse } from "../errors.ts";
import { publishDeviceRevoked, type AuthPublish } from "../events.ts";
import type { Vault } from "../secret/vault.ts";
import { subjectOf } from "./activation.ts";
import { hashOfCode, makeActivationCode } from "./activation-code.ts";
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

/** How devices are managed. What they do themselves stands in `activation.ts`. */
export interface Devices {
  /** Makes a device for branches that the caller may speak for. */
  register(
    device: { readonly displayName: string; readonly branchIds: readonly string[] },
    caller: Caller,
    client: ClientInfo,
  ): Promise<RegisteredDevice | Forbidden | Refusal<"emailNotVerified" | "branchNotFound" | "tooManyDevices">>;
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

/** The devices of a database, as who is responsible for their branches manages them. */
export function createDevices(deps: {
  readonly database: Database;
  readonly store: DeviceStore;
  readonly accounts: Pick<AccountStore, "find">;
  readonly audit: Pick<AuditStore, "append">;
  readonly publish: AuthPublish;
  readonly vault: Vault;
  readonly clock: Clock;
  readonly random: Random;
}): Devices {
  const { database, store, audit, vault, clock, random } = deps;

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

  return {
    register: async ({ displayName, branchIds }, caller, client) => {
      const manager = managerOf(caller);
      if (isRefusal(manager)) return manager;
      return database.transaction(async (tx) => {
        const refusal =
          (await unprovenRefusal(deps.accounts, tx, client)) ?? (await refusalFor(tx, branchIds, manager));
        if (refusal !== undefined) return refusal;
        await takeLock(tx, "muin auth devices");
        if ((await store.countLive(tx)) >= liveDevicesMax) {
          return refuse("tooManyDevices", { max: String(liveDevicesMax) });
        }
        const createTimeMs = clock.now();
        const deviceId = random.uuid();
        const activationCode = makeActivationCode(random);
        const activationHash = hashOfCode(vault, activationCode);
        const activationExpireTimeMs = createTimeMs + activationCodeLifeMs;
        const row = { deviceId, displayName, branchIds, activationHash, activationExpireTimeMs, createTimeMs };
        const device = await store.insert(tx, row);
        const act = { action: "REGISTER_DEVICE", outcome: "DONE", client, subject: subjectOf(deviceId) } as const;
        await audit.append(tx, { ...act, detail: branchIds.join(" ") }, createTimeMs);
        return { device, activationCode, activationExpireTimeMs };
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
        if (device.revokeTimeMs === undefined) await endDevice(tx, deps, deviceId, client);
        return undefined;
      });
    },
  };
}

/** Where devices end: their rows, the events and the records that tell of it, and the time. */
interface EndDeviceDeps {
  readonly store: Pick<DeviceStore, "revoke">;
  readonly audit: Pick<AuditStore, "append">;
  readonly publish: AuthPublish;
  readonly clock: Clock;
}

/** Revokes all devices that stand in branches of this owner alone, each with its event. */
export async function endDevicesOf(
  tx: Transaction,
  deps: EndDeviceDeps & { readonly store: Pick<DeviceStore, "lockOfOwner"> },
  ownerId: string,
  client: ClientInfo,
): Promise<void> {
  for (const deviceId of await deps.store.lockOfOwner(tx, ownerId)) await endDevice(tx, deps, deviceId, client);
}

/** Revokes a device that is not revoked yet, with its event. Its row must be locked by `tx`. */
async function endDevice(
  tx: Transaction,
  { store, audit, publish, clock }: EndDeviceDeps,
  deviceId: string,
  client: ClientInfo,
): Promise<void> {
  const nowMs = clock.now();
  const version = await store.revoke(tx, deviceId, nowMs);
  await publishDeviceRevoked(tx, publish, deviceId, version, nowMs);
  const act = { action: "REVOKE_DEVICE", outcome: "DONE", client, subject: subjectOf(deviceId) } as const;
  await audit.append(tx, act, nowMs);
}

/** Whose devices the caller manages: an API key without the scope nobody's. */
function managerOf(caller: Caller): DeviceManager | Forbidden {
  if (hasScope(caller, manageScope)) return "all";
  return caller.kind === "person" ? { ownerId: caller.id } : forbidden();
}

function forbidden(): Forbidden {
  return refuse("deviceForbidden", { scope: manageScope });
}
