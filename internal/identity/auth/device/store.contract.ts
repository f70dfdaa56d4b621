import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { systemRandom } from "../../../platform/clock/random.ts";
import type { Transaction } from "../../../platform/postgres/database.ts";
import type { StartedStore, StartStore } from "../store-fixture.ts";
import type { DeviceQuery, DeviceRow, DeviceStore } from "./store.ts";

/** What every store of devices does. */
export function describeDeviceStore(name: string, start: StartStore<DeviceStore>): void {
  describe(`a store of devices: ${name}`, () => {
    let started: StartedStore<DeviceStore>;
    let store: DeviceStore;
    beforeAll(async () => {
      started = await start();
      ({ store } = started);
    });
    afterAll(() => started[Symbol.asyncDispose]());

    const add = async (branchIds: readonly string[] = ["b1"]): Promise<DeviceRow> => {
      const row = {
        deviceId: systemRandom.uuid(),
        displayName: "Front door",
        branchIds,
        activationHash: systemRandom.bytes(32),
        activationExpireTimeMs: 5000,
        createTimeMs: 1000,
      };
      await started.database.transaction((tx) => store.insert(tx, row));
      return row;
    };
    const activate = async (deviceId: string): Promise<Uint8Array> => {
      const publicKey = systemRandom.bytes(32);
      await started.database.transaction((tx) => store.activate(tx, deviceId, publicKey, 2000));
      return publicKey;
    };
    const revoke = (deviceId: string, nowMs: number): Promise<bigint> =>
      started.database.transaction((tx) => store.revoke(tx, deviceId, nowMs));
    const idsOf = async (query: Partial<DeviceQuery>, limit = 100): Promise<readonly string[]> => {
      const any = { ownerId: undefined, branchId: "", withRevoked: false, beforeId: "" };
      return (await store.list(started.database.sql, { ...any, ...query }, limit)).map(({ deviceId }) => deviceId);
    };
    const lockOfAnn = (tx: Transaction) => store.lockOfOwner(tx, "ann");
    const prune = (unusedBeforeMs: number, revokedBeforeMs: number): Promise<void> =>
      started.database.transaction((tx) => store.prune(tx, { unusedBeforeMs, revokedBeforeMs }, 1000));
    const byCode = ({ activationHash }: DeviceRow, nowMs: number) =>
      started.database.transaction((tx) => store.lockByCode(tx, activationHash, nowMs));

    test("finds a device by its code until that ends or the device is revoked, locked against others", async () => {
      const row = await add(["b1", "b2"]);
      const { deviceId, displayName, branchIds, createTimeMs } = row;
      const device = {
        deviceId,
        displayName,
        branchIds,
        createTimeMs,
        publicKey: undefined,
        activateTimeMs: undefined,
        tokenTimeMs: undefined,
        revokeTimeMs: undefined,
      };
      const lock = (tx: Transaction) => store.lockByCode(tx, row.activationHash, 4999);
      expect(await started.waits(lock, lock)).toEqual({ waited: true, result: device });
      expect(await byCode(row, 5000)).toBeUndefined();
      expect(await started.database.transaction((tx) => store.lock(tx, deviceId))).toEqual(device);
      expect(await revoke(deviceId, 3000)).toBe(2n);
      expect(await byCode(row, 1000)).toBeUndefined();
    });

    test("gives a key to one device alone, notes tokens until it is revoked, and counts who is not", async () => {
      const { database } = started;
      const live = (): Promise<number> => database.transaction((tx) => store.countLive(tx));
      const before = await live();
      const [{ deviceId }, other] = [await add(), await add()];
      const publicKey = await activate(deviceId);
      expect(await database.transaction((tx) => store.hasKey(tx, publicKey))).toBe(true);
      expect(await database.transaction((tx) => store.hasKey(tx, systemRandom.bytes(32)))).toBe(false);
      const taken = database.transaction((tx) => store.activate(tx, other.deviceId, publicKey, 2000));
      expect(
        await taken.then(
          () => "given",
          () => "refused",
        ),
      ).toBe("refused");
      const found = await store.findLive(database.sql, deviceId);
      expect(Buffer.compare(found!.publicKey!, publicKey)).toBe(0);
      const mark = (nowMs: number): Promise<boolean> =>
        database.transaction((tx) => store.markToken(tx, deviceId, nowMs));
      expect(await mark(4000)).toBe(true);
      expect(await store.findLive(database.sql, deviceId)).toMatchObject({ activateTimeMs: 2000, tokenTimeMs: 4000 });
      expect(await live()).toBe(before + 2);
      expect(await revoke(deviceId, 5000)).toBe(3n);
      expect([await mark(6000), await store.findLive(database.sql, deviceId), await live()]).toEqual([
        false,
        undefined,
        before + 1,
      ]);
    });

    test("keeps whose a branch is by version, and lists devices all of whose branches are one owner's", async () => {
      const put = (branchId: string, ownerId: string, version: bigint, epoch = 0): Promise<void> =>
        started.database.transaction((tx) => store.putBranch(tx, { branchId, ownerId, version: { epoch, version } }));
      await put("x1", "ann", 2n);
      await put("x1", "older", 1n);
      await put("x2", "ann", 1n);
      await put("x3", "ben", 1n);
      const owners = await started.database.transaction((tx) => store.ownersOf(tx, ["x1", "x3", "nowhere"]));
      expect(Object.fromEntries(owners)).toEqual({ x1: "ann", x3: "ben" });
      const [own, both, revoked] = [await add(["x1", "x2"]), await add(["x1", "x3"]), await add(["x2"])];
      await revoke(revoked.deviceId, 2000);
      expect(await idsOf({ ownerId: "ann" })).toEqual([own.deviceId]);
      expect(await started.waits(lockOfAnn, lockOfAnn)).toEqual({ waited: true, result: [own.deviceId] });
      expect(await idsOf({ ownerId: "ann", withRevoked: true })).toEqual([revoked.deviceId, own.deviceId]);
      expect(await idsOf({ ownerId: "ben" })).toEqual([]);
      expect(await idsOf({ branchId: "x1" })).toEqual([both.deviceId, own.deviceId]);
      expect(await idsOf({ branchId: "x1" }, 1)).toEqual([both.deviceId]);
      expect(await idsOf({ branchId: "x1", beforeId: both.deviceId })).toEqual([own.deviceId]);
    });

    test("removes what was never activated, or was revoked long ago, and nothing else", async () => {
      const [unused, active, revoked] = [await add(), await add(), await add()];
      await activate(active.deviceId);
      await activate(revoked.deviceId);
      await revoke(revoked.deviceId, 7000);
      const left = async (): Promise<readonly boolean[]> => {
        const ids = await idsOf({ withRevoked: true });
        return [unused, active, revoked].map(({ deviceId }) => ids.includes(deviceId));
      };
      await prune(5000, 7000);
      expect(await left()).toEqual([true, true, true]);
      await prune(5001, 7001);
      expect(await left()).toEqual([false, true, false]);
    });
  });
}
