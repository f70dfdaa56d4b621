import { cp, rm } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { create, fromBinary } from "@bufbuild/protobuf";
import { UserUpdatedSchema } from "../../../gen/muin/identity/v1/user_events_pb.ts";
import { UserStatus } from "../../../gen/muin/identity/v1/user_pb.ts";
import { RepublishRequestedSchema } from "../../../gen/muin/platform/v1/republish_events_pb.ts";
import type { ServiceInfo } from "../../../platform/service/define-service.ts";
import type { EventPublisher } from "../../../platform/service/event-record.ts";
import { eventually } from "../../../platform/testing/eventually.ts";
import { caught, importMutant } from "../../../platform/testing/mutant.ts";
import { startRedis, type TestRedis } from "../../../platform/testing/redis.ts";
import { markFresh, readRunId } from "../../shared/fresh.ts";
import { type AccessFixture, type Device, type Member, reasonOf, seenAgain, startAccess } from "../access-fixture.ts";
import { access } from "../definition.ts";

setDefaultTimeout(60_000);

/** What was asked of others: the topics, in order. */
interface Asked extends EventPublisher {
  readonly topics: string[];
}

function hear(): Asked {
  const topics: string[] = [];
  return {
    topics,
    publish: (records) => {
      for (const { data, topic } of records) {
        expect(topic).toBe("republish.access");
        topics.push(fromBinary(RepublishRequestedSchema, data).topic);
      }
      return Promise.resolve();
    },
  };
}

interface World extends AsyncDisposable {
  readonly redis: TestRedis;
  service: AccessFixture;
  readonly asked: Asked;
  readonly branchId: string;
  readonly device: Device;
  readonly ann: Member;
  readonly ben: Member;
  at(member: Member): Promise<string>;
  tell(member: Member, status: UserStatus): Promise<void>;
}

async function newWorld(info: ServiceInfo = access): Promise<World> {
  const redis = await startRedis();
  const asked = hear();
  const service = await startAccess(redis.url, { info, broker: asked });
  const branchId = await service.newBranch();
  const device = service.newDevice(branchId);
  const world: World = {
    redis,
    service,
    asked,
    branchId,
    device,
    ann: await service.newMember(branchId),
    ben: await service.newMember(branchId),
    at: ({ embedding }) => reasonOf(world.service.identify(device, { embedding: seenAgain(embedding) })),
    tell: ({ id }, status) =>
      world.service.deliver(
        create(UserUpdatedSchema, {
          userId: id,
          membership: { plan: "standard" },
          aggregateVersion: 1n,
          status,
          statusVersion: status === UserStatus.ACTIVE ? 1n : 2n,
        }),
      ),
    [Symbol.asyncDispose]: async () => {
      await world.service[Symbol.asyncDispose]();
      await redis.stop();
    },
  };
  return world;
}

/** Stops the face Redis, does something to its files, and starts it; mlops has called it fresh after that. */
async function restart({ redis, service }: World, work: (folder: string) => Promise<unknown>): Promise<void> {
  await redis.kill("SIGKILL");
  await work(join(redis.dir, "appendonlydir"));
  await redis.restart();
  await eventually(() => service.redis.client.ping());
  await markFresh(service.redis, await readRunId(service.redis));
}

const copyOf = (folder: string): string => join(folder, "..", "copy");
const backUp = (folder: string): Promise<void> => cp(folder, copyOf(folder), { recursive: true });
const putBack = async (folder: string): Promise<void> => {
  await rm(folder, { recursive: true });
  await cp(copyOf(folder), folder, { recursive: true });
};

/** Waits until the last change is known to the process also after its end. */
async function isKept({ service }: World): Promise<void> {
  const [last] = await service.redis.client.xrevrange("{face}:d:changes", "+", "-", "COUNT", 1);
  await eventually(async () =>
    expect((await Bun.file(join(service.folder, "copies-seen")).text()).trim()).toBe(last?.[0] ?? ""),
  );
}

/** Ann was suspended after the file was copied. */
async function checkOlderFile(info?: ServiceInfo): Promise<void> {
  await using world = await newWorld(info);
  const { ann, ben, branchId, asked } = world;
  await restart(world, backUp);
  expect(await eventually(() => admitted(world, ann))).toBe("ADMITTED");
  await world.service.statusChanged(ann.id, UserStatus.SUSPENDED, 2n);
  await eventually(async () => expect(await world.at(ann)).toBe("NOT_ACTIVE"));
  await isKept(world);
  expect(asked.topics).toEqual([]);
  await restart(world, putBack);
  // The process's own snapshot, which knows of it, may still decide until the store answers.
  const reasons = new Set<string>();
  await eventually(
    async () => {
      const reason = await world.at(ann);
      reasons.add(reason);
      expect(reason).toBe("FACE_STORE_UNAVAILABLE");
    },
    { unless: () => reasons.has("ADMITTED") },
  );
  expect(reasons).not.toContain("ADMITTED");
  for (let look = 0; look < 20; look += 1) {
    expect([await world.at(ann), await world.at(ben)]).toEqual(["FACE_STORE_UNAVAILABLE", "FACE_STORE_UNAVAILABLE"]);
  }
  await eventually(() => expect(asked.topics).toEqual(["identity.user", "identity.branch"]));
  await world.tell(ben, UserStatus.ACTIVE);
  expect(await world.at(ben)).toBe("FACE_STORE_UNAVAILABLE"); // The branch is not told.
  await world.service.changeBranch(branchId, {});
  expect([await world.at(ann), await world.at(ben)]).toEqual(["FACE_STORE_UNAVAILABLE", "ADMITTED"]);
  await world.tell(ann, UserStatus.SUSPENDED);
  expect([await world.at(ann), await world.at(ben)]).toEqual(["NOT_ACTIVE", "ADMITTED"]);
}

/** Fails until connections are there again. */
async function admitted(world: World, member: Member): Promise<string> {
  const reason = await world.at(member);
  expect(reason).toBe("ADMITTED");
  return reason;
}

describe("a face store that was started", () => {
  test("from its own file holds nothing up, and nothing is asked for", async () => {
    await using world = await newWorld();
    await world.service.statusChanged(world.ben.id, UserStatus.SUSPENDED, 2n);
    await isKept(world);
    await restart(world, () => Promise.resolve());
    await eventually(() => admitted(world, world.ann));
    expect(await world.at(world.ben)).toBe("NOT_ACTIVE");
    expect([await world.service.redis.client.exists("{face}:d:doubt"), world.asked.topics]).toEqual([0, []]);
  });

  test("from an older file opens to nobody who was not told again", () => checkOlderFile());

  test("from an older file while no process ran is seen by the first that starts", async () => {
    await using world = await newWorld();
    const { ann, asked } = world;
    await restart(world, backUp);
    await eventually(() => admitted(world, ann));
    await world.service.statusChanged(ann.id, UserStatus.SUSPENDED, 2n);
    await isKept(world);
    await world.service.stopWork();
    await restart(world, putBack);
    expect(await world.service.redis.client.exists("{face}:d:doubt")).toBe(0);
    await world.service[Symbol.asyncDispose]();
    const { folder } = world.service;
    await using next = await startAccess(world.redis.url, { broker: asked, folder });
    expect(await reasonOf(next.identify(world.device, { embedding: seenAgain(ann.embedding) }))).toBe(
      "FACE_STORE_UNAVAILABLE",
    );
    await eventually(() => expect(asked.topics).toEqual(["identity.user", "identity.branch"]));
  });

  test("empty has all told again", async () => {
    await using world = await newWorld();
    await isKept(world);
    await restart(world, (folder) => rm(folder, { recursive: true }));
    await eventually(() => expect(world.asked.topics).toEqual(["identity.user", "identity.branch"]));
  });
});

describe("a mutant is caught", () => {
  const folder = join(import.meta.dir, "..");
  const definition = join(folder, "definition.ts");
  test.each([
    [
      "takes an older file for its own",
      "doubt/store.ts",
      "isOlder: seen !== undefined && found",
      "isOlder: false && found",
    ],
    ["judges who was not told", "doubt/doubt.ts", "if (state.isTold && (await", "if (state.isTold || (await"],
  ] as const)("that %s", async (_, file, from, to) => {
    const mutant = await importMutant<{ access: ServiceInfo }>(join(folder, file), from, to, [definition]);
    await caught(() => checkOlderFile(mutant.access));
  });
});
