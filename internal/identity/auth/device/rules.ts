import type { Clock } from "../../../platform/clock/clock.ts";
import type { Random } from "../../../platform/clock/random.ts";
import { MuinError } from "../../../platform/errors/muin-error.ts";
import type { CallSignature } from "../../../platform/identity/call-signature.ts";
import { deviceKeyOf } from "../../../platform/identity/signed-call.ts";
import { deviceSubjectPrefix } from "../../../platform/identity/token-claims.ts";
import type { Database, Transaction } from "../../../platform/postgres/database.ts";
import { recordAct } from "../audit/log.ts";
import { networkOf, type ClientInfo } from "../audit/client.ts";
import { makeActivationCode, normaliseActivationCode } from "./activation-code.ts";
import {
  badActivationCode,
  badDevice,
  branchNotFound,
  deviceForbidden,
  deviceKeyTaken,
  deviceNotFound,
  tooManyDevices,
} from "../device-errors.ts";
import { publishDeviceRevoked, type AuthPublish } from "../events.ts";
import { chargeAttempt, forgiveAttempt } from "../lockout/rules.ts";
import { isUuid } from "../request.ts";
import type { IssuedToken, TokenIssuer } from "../token/issuer.ts";
import type { Vault } from "../secret/vault.ts";

/** An activation code is good for so long. */
const activationCodeLifeMs = 60 * 60_000;
/** Devices of an installation that are not revoked. */
const liveDevicesMax = 10_000;

/** A device, without its code. */
export interface Device {
  readonly deviceId: string;
  readonly displayName: string;
  readonly branchIds: readonly string[];
  readonly createTimeMs: number;
  readonly activateTimeMs: number | undefined;
  readonly tokenTimeMs: number | undefined;
  readonly revokeTimeMs: number | undefined;
}

/** Whose devices a caller manages: all, or those of the branches of one owner. */
export type DeviceManager = "all" | { readonly ownerId: string };

/** A device that waits for its key. */
export interface RegisteredDevice {
  readonly device: Device;
  readonly activationCode: string;
  readonly activationExpireTimeMs: number;
}

/** The rules of devices. */
export interface Devices {
  /** Makes a device for branches that the manager may speak for. */
  register(
    device: { readonly displayName: string; readonly branchIds: readonly string[] },
    manager: DeviceManager,
    client: ClientInfo,
  ): Promise<RegisteredDevice>;
  /** Gives the device that the code stands for its key, which must have signed the call. */
  activate(code: string, publicKey: Uint8Array, signature: CallSignature, client: ClientInfo): Promise<Device>;
  /** Issues a token to the device whose key signed the call. */
  issueToken(deviceId: string, signature: CallSignature, client: ClientInfo): Promise<IssuedToken>;
  /** Devices of the manager, newest first, those before `beforeId` when it is given. */
  list(
    manager: DeviceManager,
    page: {
      readonly size: number;
      readonly beforeId: string | undefined;
      /** Empty for all. */
      readonly branchId: string;
      readonly withRevoked: boolean;
    },
  ): Promise<readonly Device[]>;
  /** Ends a device; one that was revoked stays so. */
  revoke(deviceId: string, manager: DeviceManager, client: ClientInfo): Promise<void>;
}

/** Makes the rules. */
export function createDevices(deps: {
  readonly database: Database;
  readonly publish: AuthPublish;
  readonly vault: Vault;
  readonly tokens: TokenIssuer;
  readonly clock: Clock;
  readonly random: Random;
}): Devices {
  const { database, publish, vault, tokens, clock, random } = deps;
  return {
    register: ({ displayName, branchIds }, manager, client) =>
      database.transaction(async (tx) => {
        await checkBranches(tx, branchIds, manager);
        await tx`SELECT pg_advisory_xact_lock(hashtext('muin auth devices'))`;
        const [live] = await tx<{ count: string }[]>`SELECT count(*) FROM devices WHERE revoke_time IS NULL`;
        if (Number(live?.count) >= liveDevicesMax) throw tooManyDevices(liveDevicesMax);
        const nowMs = clock.now();
        const deviceId = random.uuid();
        const activationCode = makeActivationCode(random);
        const activationExpireTimeMs = nowMs + activationCodeLifeMs;
        const [row] = await tx<Row[]>`
          INSERT INTO devices
            (device_id, display_name, branch_ids, activation_hash, activation_expire_time, version, create_time)
          VALUES (${deviceId}, ${displayName}, ${[...branchIds]}::text[], ${hashOf(vault, activationCode)},
            ${new Date(activationExpireTimeMs)}, 1, ${new Date(nowMs)})
          RETURNING *`;
        if (row === undefined) throw new Error("the device was not stored");
        const act = { action: "REGISTER_DEVICE", outcome: "DONE", client, subject: subjectOf(deviceId) } as const;
        await recordAct(tx, { ...act, detail: branchIds.join(" ") }, nowMs);
        return { device: deviceOf(row), activationCode, activationExpireTimeMs };
      }),

    activate: async (code, publicKey, signature, client) => {
      signature.prove(deviceKeyOf(Buffer.from(publicKey).toString("base64url")));
      // Counted as wrong before it is looked at, so that many guesses at once are no more than many in a row.
      const attempt = { email: "", network: networkOf(client.address) };
      const charge = await database.transaction((tx) => chargeAttempt(tx, vault, attempt, clock.now()));
      const device = await database.transaction(async (tx) => {
        const nowMs = clock.now();
        const [row] = await tx<Row[]>`
          SELECT * FROM devices WHERE activation_hash = ${hashOf(vault, code)} AND revoke_time IS NULL
            AND activation_expire_time > ${new Date(nowMs)} FOR UPDATE`;
        const isRepeat = row?.public_key != null && Buffer.compare(row.public_key, publicKey) === 0;
        if (row === undefined || (row.public_key !== null && !isRepeat)) return undefined;
        await forgiveAttempt(tx, charge, "whole");
        if (isRepeat) return deviceOf(row);
        const taken = await tx`SELECT 1 FROM devices WHERE public_key = ${publicKey}`;
        if (taken.length > 0) throw deviceKeyTaken();
        const [active] = await tx<Row[]>`
          UPDATE devices SET public_key = ${publicKey}, activate_time = ${new Date(nowMs)}, version = version + 1
          WHERE device_id = ${row.device_id} RETURNING *`;
        const subject = subjectOf(row.device_id);
        const act = { action: "ACTIVATE_DEVICE", outcome: "DONE", client, principal: subject, subject } as const;
        await recordAct(tx, act, nowMs);
        return deviceOf(active ?? row);
      });
      if (device !== undefined) return device;
      const act = { action: "ACTIVATE_DEVICE", outcome: "REFUSED", client, subject: "activation_code" } as const;
      await recordAct(database.sql, { ...act, detail: charge.locks ? "LOCK_BEGINS" : "" }, clock.now());
      throw badActivationCode();
    },

    issueToken: async (deviceId, signature, client) => {
      if (!isUuid(deviceId)) throw badDevice();
      const [found] = await database.sql<Row[]>`
        SELECT * FROM devices WHERE device_id = ${deviceId} AND revoke_time IS NULL`;
      if (found?.public_key == null) throw badDevice();
      const x = Buffer.from(found.public_key).toString("base64url");
      proveBy(x, signature);
      const issued = await tokens.issueDevice({ deviceId, x, branchIds: found.branch_ids });
      await database.transaction(async (tx) => {
        // Whoever revokes the device after this revokes the token too; after one who came before, nobody gets it.
        const nowMs = clock.now();
        const marked = await tx`
          UPDATE devices SET token_time = ${new Date(nowMs)} WHERE device_id = ${deviceId} AND revoke_time IS NULL
          RETURNING device_id`;
        if (marked.length === 0) throw badDevice();
        const subject = subjectOf(deviceId);
        const act = { action: "ISSUE_DEVICE_TOKEN", outcome: "DONE", client, principal: subject, subject } as const;
        await recordAct(tx, { ...act, detail: new Date(issued.expireTimeMs).toISOString() }, nowMs);
      });
      return issued;
    },

    list: async (manager, { size, beforeId, branchId, withRevoked }) => {
      const rows = await database.sql<Row[]>`
        SELECT * FROM devices
        WHERE device_id < coalesce(${beforeId ?? null}::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
          AND (${manager === "all"} OR branch_ids <@ (SELECT coalesce(array_agg(branch_id), '{}') FROM branches
            WHERE owner_id = ${manager === "all" ? "" : manager.ownerId}))
          AND (${branchId} = '' OR ${branchId} = ANY (branch_ids))
          AND (${withRevoked} OR revoke_time IS NULL)
        ORDER BY device_id DESC LIMIT ${size}`;
      return rows.map(deviceOf);
    },

    revoke: (deviceId, manager, client) =>
      database.transaction(async (tx) => {
        const [row] = isUuid(deviceId)
          ? await tx<Row[]>`SELECT * FROM devices WHERE device_id = ${deviceId} FOR UPDATE`
          : [];
        if (row === undefined) throw manager === "all" ? deviceNotFound() : deviceForbidden();
        if (manager !== "all") await checkBranches(tx, row.branch_ids, manager);
        if (row.revoke_time !== null) return;
        const nowMs = clock.now();
        const [revoked] = await tx<{ version: string }[]>`
          UPDATE devices SET revoke_time = ${new Date(nowMs)}, version = version + 1
          WHERE device_id = ${deviceId} RETURNING version`;
        await publishDeviceRevoked(tx, publish, deviceId, BigInt(revoked?.version ?? 0), nowMs);
        const act = { action: "REVOKE_DEVICE", outcome: "DONE", client, subject: subjectOf(deviceId) } as const;
        await recordAct(tx, act, nowMs);
      }),
  };
}

/** Throws unless there are these branches and the manager may speak for each. */
async function checkBranches(tx: Transaction, branchIds: readonly string[], manager: DeviceManager): Promise<void> {
  const rows = await tx<{ branch_id: string; owner_id: string }[]>`
    SELECT branch_id, owner_id FROM branches WHERE branch_id = ANY (${[...branchIds]}::text[])`;
  const ownerOf = new Map(rows.map((row) => [row.branch_id, row.owner_id]));
  for (const branchId of branchIds) {
    const owner = ownerOf.get(branchId);
    if (manager !== "all" && owner !== manager.ownerId) throw deviceForbidden();
    if (owner === undefined) throw branchNotFound(branchId);
  }
}

/** Another key's signature is answered as no device at all. */
function proveBy(x: string, signature: CallSignature): void {
  try {
    signature.prove(deviceKeyOf(x));
  } catch (error) {
    throw error instanceof MuinError && error.reason === "SIGNATURE_INVALID" ? badDevice() : error;
  }
}

/** What of a code is stored and compared; of what can be no code, that of no code. */
function hashOf(vault: Vault, code: string): Uint8Array {
  return vault.mac("activation-code", normaliseActivationCode(code) ?? "");
}

function subjectOf(deviceId: string): string {
  return `${deviceSubjectPrefix}${deviceId}`;
}

interface Row {
  readonly device_id: string;
  readonly display_name: string;
  readonly branch_ids: string[];
  readonly public_key: Uint8Array | null;
  readonly create_time: Date;
  readonly activate_time: Date | null;
  readonly token_time: Date | null;
  readonly revoke_time: Date | null;
}

function deviceOf(row: Row): Device {
  return {
    deviceId: row.device_id,
    displayName: row.display_name,
    branchIds: row.branch_ids,
    createTimeMs: row.create_time.getTime(),
    activateTimeMs: row.activate_time?.getTime(),
    tokenTimeMs: row.token_time?.getTime(),
    revokeTimeMs: row.revoke_time?.getTime(),
  };
}
