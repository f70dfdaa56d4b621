import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { CountInfoSchema, CountState } from "../../../gen/muin/count/v1/count_pb.ts";
import { eventually } from "../../../platform/testing/eventually.ts";
import type { InfoCacheStore, InfoView, VersionedInfo } from "./store.ts";

/** A view of metadata to be tried. */
export interface StartedInfoView extends AsyncDisposable {
  readonly view: InfoView;
  /** Sets the epoch of the owner's database. */
  setEpoch(epoch: number): Promise<void>;
  /** Makes a Count as its owner does; `isPending`: one that does not exist for others yet. */
  addCount(info: VersionedInfo, isPending?: boolean): Promise<void>;
}

/** A cache of metadata to be tried. */
export interface StartedInfoCacheStore extends AsyncDisposable {
  readonly cache: InfoCacheStore;
  /** The same as another instance sees it. */
  readonly other: InfoCacheStore;
}

let ids = 0;

function newInfo(version: number, countId = `i${(ids += 1)}`): VersionedInfo {
  const info = create(CountInfoSchema, {
    countId,
    displayName: "Door \u{1F6AA}",
    labels: { site: "seoul" },
    minValue: -9_007_199_254_740_991n,
    state: CountState.ACTIVE,
    etag: `v${version}`,
    createTime: timestampFromMs(1_700_000_000_123),
    updateTime: timestampFromMs(1_700_000_001_456),
  });
  return { info, epoch: 0, version };
}

/** What every view of metadata does. */
export function describeInfoView(name: string, start: () => Promise<StartedInfoView>): void {
  describe(`a view of metadata: ${name}`, () => {
    let started: StartedInfoView;
    beforeAll(async () => {
      started = await start();
    });
    afterAll(() => started[Symbol.asyncDispose]());

    test("reads in the order of the ids, and nothing of what does not exist", async () => {
      const [first, second, pending] = [newInfo(1), newInfo(7), newInfo(1)];
      await started.addCount(first);
      await started.addCount(second);
      await started.addCount(pending, true);
      const asked = [second, first, pending].map(({ info }) => info.countId);
      expect(await started.view.read([...asked, "absent"])).toEqual([second, first, undefined, undefined]);
    });

    test("has the epoch of the owner's database", async () => {
      const info = newInfo(3);
      await started.addCount(info);
      await started.setEpoch(2);
      expect(await started.view.read([info.info.countId])).toEqual([{ ...info, epoch: 2 }]);
      await started.setEpoch(0);
    });
  });
}

/** What every cache of metadata does. */
export function describeInfoCacheStore(name: string, start: () => Promise<StartedInfoCacheStore>): void {
  describe(`a cache of metadata: ${name}`, () => {
    let started: StartedInfoCacheStore;
    beforeAll(async () => {
      started = await start();
    });
    afterAll(() => started[Symbol.asyncDispose]());

    test("gives back what was kept, in the order of the ids", async () => {
      const [first, second] = [newInfo(1), newInfo(2 ** 40)];
      await started.cache.keepNewest([first, second], 60_000);
      const asked = [second.info.countId, "absent", first.info.countId];
      expect(await started.cache.read(asked)).toEqual([second, undefined, first]);
    });

    test("keeps the newest version, whatever comes last", async () => {
      const newest = newInfo(3);
      await started.cache.keepNewest([newest], 60_000);
      await started.cache.keepNewest([newInfo(2, newest.info.countId)], 60_000);
      expect(await started.cache.read([newest.info.countId])).toEqual([newest]);
    });

    test("keeps a lower version of a later epoch, and no higher one of an earlier", async () => {
      const before = newInfo(9);
      const after = { ...newInfo(1, before.info.countId), epoch: 1 };
      for (const info of [before, after, { ...after, version: 0 }, before])
        await started.cache.keepNewest([info], 60_000);
      expect(await started.cache.read([before.info.countId])).toEqual([after]);
    });

    test("is emptied for all who share it, and fills anew", async () => {
      const { cache, other } = started;
      const [first, second] = [newInfo(1), newInfo(1)];
      const ids = [first, second].map(({ info }) => info.countId);
      await cache.keepNewest([first], 60_000);
      expect(await other.read(ids)).toEqual([first, undefined]);
      await cache.empty();
      expect(await other.read(ids)).toEqual([undefined, undefined]);
      await other.keepNewest([second], 60_000);
      expect([await cache.read(ids), await other.read(ids)]).toEqual([
        [undefined, second],
        [undefined, second],
      ]);
    });

    test("keeps nothing for longer than it was asked to", async () => {
      const brief = newInfo(1);
      await started.cache.keepNewest([brief], 1);
      await eventually(async () => expect(await started.cache.read([brief.info.countId])).toEqual([undefined]));
    });
  });
}
