import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { AccessService } from "../gen/muin/face/v1/access_service_pb.ts";
import { EnrolmentService } from "../gen/muin/face/v1/enrolment_service_pb.ts";
import { FaceModelService } from "../gen/muin/face/v1/face_model_service_pb.ts";
import { eventually } from "../platform/testing/eventually.ts";
import { seededFractions } from "../face/shared/face-fixture.ts";
import {
  ask,
  enrol,
  newDoorBranch,
  newDoorDevice,
  newPicture,
  newVisitor,
  type DoorDevice,
  type Visitor,
} from "./door-fixture.ts";
import { startDoorMesh, type DoorMesh } from "./door-mesh-fixture.ts";
import { startWalk } from "./door-walk-fixture.ts";

setDefaultTimeout(600_000);

const rounds = process.env["MUIN_SOAK"] === undefined ? 1 : 20;

let site: DoorMesh;
let branchId: string;
let device: DoorDevice;
beforeAll(async () => {
  site = await startDoorMesh(["auth", "user", "branch-owner", "mlops", "access"]);
  ({ branchId } = await newDoorBranch(site));
  device = await newDoorDevice(site, branchId);
});
afterAll(() => site[Symbol.asyncDispose]());

/** Who is killed, and how it comes back. */
const victims: Readonly<Record<string, () => Promise<void>>> = {
  "the face Redis": async () => {
    const redis = site.mesh.redis.get("faces")!;
    await redis.kill("SIGKILL");
    await redis.restart();
  },
  access: () => killed("access"),
  mlops: () => killed("mlops"),
};

async function killed(service: string): Promise<void> {
  await site.instance(service).kill();
  site.instance(service).restart();
  await site.instance(service).isReady();
}

/** Somebody whose face comes and goes, and what was acknowledged last. `undefined`: it is not known what became of it. */
interface Life {
  visitor: Visitor;
  isEnrolled: boolean | undefined;
}

test.each(Object.keys(victims))(
  "kill -9 of %s while people are enrolled, replaced, erased and let in loses nothing that was acknowledged",
  async (victim) => {
    const seed = Number(process.env["SEED"] ?? crypto.getRandomValues(new Uint32Array(1))[0]);
    console.log(`SEED=${seed}`);
    const fraction = seededFractions(seed);
    const stays = await newVisitor(site, branchId, device);
    const lives: Life[] = [];
    for (let life = 0; life < 3; life += 1) {
      lives.push({ visitor: await newVisitor(site, branchId, device), isEnrolled: true });
    }
    const walk = startWalk(site, { branchId, device, visitors: [stays] });
    const over = new AbortController();
    const living = lives.map(async (life) => {
      while (!over.signal.aborted) await liveOn(life, fraction());
    });
    for (let round = 0; round < rounds; round += 1) {
      await walk.next(5 + Math.floor(fraction() * 30));
      await victims[victim]?.();
      await walk.next(5);
    }
    over.abort();
    await Promise.all(living);
    await walk.stop();

    await eventually(async () => expect(await saidTo(stays)).toBe("ADMITTED"), { timeoutMs: 60_000 });
    for (const { visitor, isEnrolled } of lives) {
      if (isEnrolled === undefined) continue;
      // What decides is the same for all: a moment after the kill a call may be refused.
      await eventually(async () => expect(await saidTo(visitor)).toBe(isEnrolled ? "ADMITTED" : "NO_MATCH"), {
        timeoutMs: 30_000,
      });
    }
    const granted = walk.visits.filter(({ visitor, answer }) => visitor === undefined && answer.said === "ADMITTED");
    expect(granted).toEqual([]);
    await areRecorded(walk.visits.flatMap(({ answer }) => answer.decision?.entryId ?? []));
    await isConsistent();
    for (const { visitor } of [{ visitor: stays }, ...lives]) {
      await site.client(EnrolmentService).eraseFace({ enrolmentId: visitor.enrolmentId });
    }
  },
);

const saidTo = async (visitor: Visitor): Promise<string> =>
  (await ask(site, device, { branchId, embedding: newPicture(visitor) })).said;

/** One change of a face; what was not acknowledged is asked for again until it is. */
async function liveOn(life: Life, chance: number): Promise<void> {
  const { visitor } = life;
  const enrolments = site.client(EnrolmentService);
  const before = life.isEnrolled;
  life.isEnrolled = undefined;
  if (before === false) {
    life.visitor = await enrol(site, branchId, visitor, visitor.person);
    life.isEnrolled = true;
    return;
  }
  const { enrolmentId, embedding } = visitor;
  const isReplaced = chance < 0.5;
  await eventually(
    async () => {
      if (isReplaced)
        await enrolments.replaceFace({ enrolmentId, embeddings: [new Uint8Array(embedding.slice().buffer)] });
      else await enrolments.eraseFace({ enrolmentId });
    },
    { timeoutMs: 60_000 },
  );
  life.isEnrolled = isReplaced;
}

async function areRecorded(answered: readonly string[]): Promise<void> {
  const entries = site.client(AccessService);
  await eventually(
    async () => {
      const recorded = new Set<string>();
      let pageToken = "";
      do {
        const page = await entries.listEntries({ pageSize: 1000, pageToken });
        for (const { entryId } of page.entries) recorded.add(entryId);
        pageToken = page.nextPageToken;
      } while (pageToken !== "");
      expect(answered.filter((entryId) => !recorded.has(entryId))).toEqual([]);
    },
    { timeoutMs: 60_000 },
  );
}

/** What stands of faces is the same everywhere, once the sweepers have been there. */
async function isConsistent(): Promise<void> {
  await eventually(
    async () => {
      const { checks } = await site.client(FaceModelService).checkFaces({ branchId });
      const wrong = checks.map((check) => [
        check.enrolmentsRepaired,
        check.enrolmentsLost,
        check.erasedRemoved,
        check.unknownRemoved,
        check.changesRepaired,
      ]);
      expect(checks.length).toBeGreaterThan(0);
      expect(wrong.flat().filter((count) => count !== 0n)).toEqual([]);
    },
    { timeoutMs: 60_000 },
  );
}
