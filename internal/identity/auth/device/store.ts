import type { EventVersion } from "../../../platform/service/event-version.ts";
import type { Sql, Transaction } from "../../../platform/postgres/database.ts";

/** A device, without its code. Times in milliseconds since 1970. */
export interface Device {
  readonly deviceId: string;
  readonly displayName: string;
  readonly branchIds: readonly string[];
  /** Ed25519, 32 bytes; `undefined` until it is activated. */
  readonly publicKey: Uint8Array | undefined;
  readonly createTimeMs: number;
  readonly activateTimeMs: number | undefined;
  /** When it last got a token. */
  readonly tokenTimeMs: number | undefined;
  readonly revokeTimeMs: number | undefined;
}

/** A device as it is added. */
export interface DeviceRow {
  readonly deviceId: string;
  readonly displayName: string;
  readonly branchIds: readonly string[];
  /** Keyed hash of the activation code, 32 bytes. */
  readonly activationHash: Uint8Array;
  readonly activationExpireTimeMs: number;
  readonly createTimeMs: number;
}

/** Which devices to list: all conditions must hold. */
export interface DeviceQuery {
  /** Only those all of whose branches this person owns; `undefined` for any. */
  readonly ownerId: string | undefined;
  /** Only those of this branch, unless it is empty. */
  readonly branchId: string;
  readonly withRevoked: boolean;
  /** Only those before this id, unless it is empty. */
  readonly beforeId: string;
}

/** Devices, and whose the branches are that they stand in. */
export interface DeviceStore {
  /** Adds a device at version 1. */
  insert(tx: Transaction, device: DeviceRow): Promise<Device>;
  /** How many devices are not revoked. */
  countLive(tx: Transaction): Promise<number>;
  /** The device that a code stands for, its row locked; `undefined` when the code has ended or the device was revoked. */
  lockByCode(tx: Transaction, activationHash: Uint8Array, nowMs: number): Promise<Device | undefined>;
  /** The device, its row locked. */
  lock(tx: Transaction, deviceId: string): Promise<Device | undefined>;
  /** The ids of the devices that are not revoked and all of whose branches this person owns, their rows locked. */
  lockOfOwner(tx: Transaction, ownerId: string): Promise<readonly string[]>;
  /** The device unless it was revoked. */
  findLive(on: Sql, deviceId: string): Promise<Device | undefined>;
  /** Whether some device, revoked ones included, has this key. */
  hasKey(tx: Transaction, publicKey: Uint8Array): Promise<boolean>;
  /** Gives a device its key. The row must be locked. */
  activate(tx: Transaction, deviceId: string, publicKey: Uint8Array, nowMs: number): Promise<Device | undefined>;
  /** Notes that the device gets a token; false, without effect, when it was revoked. */
  markToken(tx: Transaction, deviceId: string, nowMs: number): Promise<boolean>;
  /** Revokes a device whose row is locked. Returns its version then. */
  revoke(tx: Transaction, deviceId: string, nowMs: number): Promise<bigint>;
  /** Devices that fit, newest first. */
  list(on: Sql, query: DeviceQuery, limit: number): Promise<readonly Device[]>;
  /** Removes at most `rowsMax` devices whose unused code ended before `unusedBeforeMs`, or that were revoked before `revokedBeforeMs`. */
  prune(
    tx: Transaction,
    times: { readonly unusedBeforeMs: number; readonly revokedBeforeMs: number },
    rowsMax: number,
  ): Promise<void>;

  /** Keeps whose a branch is; what is not newer than the copy changes nothing. */
  putBranch(
    tx: Transaction,
    branch: { readonly branchId: string; readonly ownerId: string; readonly version: EventVersion },
  ): Promise<void>;
  /** Whose these branches are; one that is not known is left out. */
  ownersOf(tx: Transaction, branchIds: readonly string[]): Promise<ReadonlyMap<string, string>>;
}
