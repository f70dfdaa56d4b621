import { expect, test } from "bun:test";
import { Redis } from "ioredis";
import { redisRights } from "../../platform/catalog/store-rights.ts";
import { openRedisReader } from "../../platform/redis/open-redis.ts";
import { defineService, type ServiceInfo } from "../../platform/service/define-service.ts";
import { redis } from "../../platform/service/stores.ts";
import { eventually } from "../../platform/testing/eventually.ts";
import { startRedis } from "../../platform/testing/redis.ts";
import { createChangeReader } from "./change-reader.ts";
import { unpackChange } from "./change-stream.ts";
import { anyVector, openFaces, seededFractions, templateOf } from "./face-fixture.ts";
import { changesKey, galleryKeys } from "./key-schema.ts";
import { createStoreEngine } from "./store-engine.ts";

const writes = ["{face}:g:*"];
const reads = ["{face}:d:*"];
const writer = service("writes-faces", {
  faces: redis("faces", "read-write", { keys: writes, vectorSets: true }),
  doors: redis("faces", "read-only", { keys: reads }),
});
const reader = service("reads-faces", {
  faces: redis("faces", "read-only", { keys: writes, vectorSets: true }),
  doors: redis("faces", "read-write", { keys: reads }),
});

test("who writes faces may, who reads them may search and follow, and neither does what is the other's", async () => {
  await using server = await startRedis();
  await using stack = new AsyncDisposableStack();
  const admin = new Redis(server.url);
  stack.defer(() => admin.disconnect());
  const urls = new Map<string, string>();
  for (const info of [writer, reader]) {
    const [rights] = redisRights(info);
    await admin.call("ACL", "SETUSER", info.name, "reset", ...(rights?.rules ?? []), ">secret");
    urls.set(info.name, `redis://${info.name}:secret@${server.host}:${server.port}`);
  }
  await using faces = await openFaces(urls.get(writer.name) ?? "");
  const store = openRedisReader({ url: urls.get(reader.name) ?? "", name: "test" });
  await store.start();
  stack.defer(() => store.stop());
  const engine = createStoreEngine({ store, forDoors: true, besideKey: (memberId) => `{face}:d:member:${memberId}` });
  const changes = createChangeReader({ connection: store.dedicated(), key: changesKey, unpack: unpackChange });
  stack.defer(() => changes.stop());

  const gallery = await faces.gallery();
  const template = templateOf(anyVector(seededFractions(1)));
  const position = await eventually(() => changes.end());
  const changeId = await faces.writer.put({ memberId: "a", enrolmentId: "e" }, [{ gallery, templates: [template] }]);
  const never = new AbortController().signal;
  expect(await engine.search({ gallery, template }, never)).toMatchObject({ result: { best: { memberId: "a" } } });
  expect(await engine.search({ gallery, template, memberId: "a" }, never)).toMatchObject({ kind: "searched" });
  expect(await changes.read(position)).toMatchObject({ kind: "read", position: changeId });
  for (const command of ["VINFO", "VCARD", "VDIM"]) await store.client.call(command, galleryKeys(gallery).set);
  await faces.writer.deny("e", [gallery.branchId], 1);
  await faces.writer.remove({ memberId: "a", enrolmentId: "e" }, [gallery]);
  await faces.writer.dropGallery(gallery, never);

  const { set, copy } = galleryKeys(gallery);
  for (const [name, ...args] of [
    ["VADD", set, "VALUES", "1", "1", "x"],
    ["VREM", set, "x"],
    ["HSET", copy, "x", "y"],
    ["XADD", changesKey, "*", "x", "y"],
    ["XTRIM", changesKey, "MAXLEN", "0"],
    ["UNLINK", set],
  ] as const)
    expect(store.client.call(name, ...args)).rejects.toThrow("NOPERM");
  expect(faces.store.client.set("{face}:d:member:a", "x")).rejects.toThrow("NOPERM");
  expect(await faces.store.client.get("{face}:d:member:a")).toBeNull();
});

function service(name: string, stores: ServiceInfo["stores"]): ServiceInfo {
  return defineService({
    name,
    summary: "A service of the test.",
    serves: [],
    calls: {},
    stores,
    publishes: [],
    consumes: [],
    config: {},
    errors: {},
    personalData: "none",
    create: () => [],
  });
}
