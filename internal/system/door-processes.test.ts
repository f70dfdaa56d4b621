import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { cp, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Socket } from "bun";
import { Redis } from "ioredis";
import { AccessService } from "../gen/muin/face/v1/access_service_pb.ts";
import { EnrolmentService } from "../gen/muin/face/v1/enrolment_service_pb.ts";
import { ReplayCheck } from "../gen/muin/face/v1/entry_pb.ts";
import { FaceErasureState, type FaceErasure } from "../gen/muin/face/v1/face_erasure_pb.ts";
import { systemClock } from "../platform/clock/clock.ts";
import { eventually } from "../platform/testing/eventually.ts";
import { deviceClient } from "./device-fixture.ts";
import {
  ask,
  enrol,
  newDoorBranch,
  newDoorDevice,
  newNonce,
  newPicture,
  newVisitor,
  requestOf,
  embeddingsUsed,
  strangersPicture,
  type DoorAnswer,
  type DoorDevice,
  type Question,
  type Visitor,
} from "./door-fixture.ts";
import { startDoorMesh, type DoorMesh } from "./door-mesh-fixture.ts";
import { expectRight, startWalk } from "./door-walk-fixture.ts";
import type { Instance } from "./mesh-fixture.ts";

setDefaultTimeout(120_000);

/** How long a door decides by its copy of the faces. */
const ageMsMax = 3000;

let site: DoorMesh;
let proxy: CuttingProxy;
/** The second process of access: it reaches the face store by the proxy. */
let second: Instance;
let urls: readonly [string, string];
let branchId: string;
let device: DoorDevice;
let visitor: Visitor;
beforeAll(async () => {
  const env = { MUIN_ACCESS_SNAPSHOT_AGE_MAX_MS: `${ageMsMax}`, MUIN_LOG_LEVEL: "debug" };
  site = await startDoorMesh(["auth", "user", "branch-owner", "mlops", "access"], env);
  const { mesh } = site;
  proxy = startCuttingProxy(mesh.redis.get("faces")!.port);
  const byProxy = (store: string): string => {
    const url = new URL(mesh.storeUrl("access", store));
    url.port = `${proxy.port}`;
    return url.href;
  };
  second = await site.startOther("access", {
    MUIN_STORE_FACES_URL: byProxy("faces"),
    MUIN_STORE_GALLERIES_URL: byProxy("galleries"),
    MUIN_STORE_QUEUE_PATH: join(mesh.folder.path, "second"),
  });
  urls = [site.urlOf(AccessService), second.url];
  ({ branchId } = await newDoorBranch(site));
  device = await newDoorDevice(site, branchId);
  visitor = await newVisitor(site, branchId, device);
});
afterAll(async () => {
  proxy[Symbol.dispose]();
  await site[Symbol.asyncDispose]();
});

const at = (embedding: Uint8Array<ArrayBuffer>): Question => ({ branchId, embedding });
const askAt = (url: string, question: Question): Promise<DoorAnswer> => ask(site, device, question, url);
const enrolments = () => site.client(EnrolmentService);

test("two processes agree, whichever of them somebody comes to", async () => {
  const visitors = [visitor, await newVisitor(site, branchId, device)];
  const walk = startWalk(site, { branchId, device, visitors, urls });
  expectRight(await walk.next(40));
  await walk.stop();
});

test("a repeat gets the first decision and a replay is refused, within a process and across, at once and after a restart", async () => {
  const question = { ...at(newPicture(visitor)), nonce: newNonce(), capturedAtMs: systemClock.now() };
  const answers = await Promise.all([...urls, ...urls].map((url) => askAt(url, question)));
  const [entryId] = answers.map(({ decision }) => decision?.entryId);
  expect(answers.map(({ said, decision }) => [said, decision?.entryId])).toEqual(
    answers.map(() => ["ADMITTED", entryId]),
  );
  const replays = async (): Promise<void> => {
    for (const url of urls) {
      await isSaid(await askAt(url, question), ({ decision }) => decision?.entryId === entryId);
      const otherBytes = await askAt(url, { ...question, embedding: newPicture(visitor) });
      await isSaid(otherBytes, ({ said }) => said === "NONCE_REUSED");
      await isSaid(await askAt(url, { ...question, nonce: newNonce() }), ({ said }) => said === "EMBEDDING_REPLAYED");
    }
  };
  await replays();
  await second.kill();
  second.restart();
  await opens(second.url);
  await replays();
});

/** Whether an answer is as it should be. A face store that was late let a process look at its own memory alone: then the entry says so. */
async function isSaid(answer: DoorAnswer, isRight: (answer: DoorAnswer) => boolean): Promise<void> {
  if (isRight(answer)) return;
  const { entryId = "" } = answer.decision ?? {};
  const { entry } = await eventually(() => site.client(AccessService).getEntry({ entryId }));
  expect({ said: answer.said, replayCheck: entry?.replayCheck }).toEqual({
    said: "ADMITTED",
    replayCheck: ReplayCheck.LOCAL,
  });
}

/** Resolves once the door at an address opens for the visitor. */
function opens(url: string, whom: Visitor = visitor): Promise<void> {
  return eventually(async () => expect((await askAt(url, at(newPicture(whom)))).said).toBe("ADMITTED"), {
    timeoutMs: 30_000,
  });
}

test("a device whose clock is wrong by less than 30 s is served, and by more is told the server's time", async () => {
  const answers: string[] = [];
  for (const skewMs of [-25_000, 25_000, -35_000, 35_000]) {
    const question = { ...at(newPicture(visitor)), capturedAtMs: systemClock.now() + skewMs };
    answers.push((await askAt(urls[0], question)).said);
  }
  expect(answers).toEqual(["ADMITTED", "ADMITTED", "CAPTURE_TIME", "CAPTURE_TIME"]);
});

/** People with one face come to both processes without end. */
function startComing(whom: Pick<Visitor, "person" | "embedding">) {
  const came: { readonly beganAt: number; readonly said: string }[] = [];
  const stopping = new AbortController();
  const loops = urls.map(async (url) => {
    while (!stopping.signal.aborted) {
      const beganAt = performance.now();
      came.push({ beganAt, said: (await askAt(url, at(newPicture(whom)))).said });
    }
  });
  return {
    came,
    stop: async () => {
      stopping.abort();
      await Promise.all(loops);
    },
  };
}

test("no look-up that begins after an erasure is done opens a door, while people come without end", async () => {
  let whom = await newVisitor(site, branchId, device);
  for (let round = 0; round < 3; round += 1) {
    const coming = startComing(whom);
    await eventually(() => expect(coming.came.filter(({ said }) => said === "ADMITTED").length).toBeGreaterThan(4));
    const { erasure } = await enrolments().eraseFace({ enrolmentId: whom.enrolmentId });
    const doneAt = performance.now();
    expect(erasure).toMatchObject({ state: FaceErasureState.DONE, pendingInstances: [] });
    await eventually(() => expect(coming.came.filter(({ beganAt }) => beganAt > doneAt).length).toBeGreaterThan(8));
    await coming.stop();
    const later = coming.came.filter(({ beganAt }) => beganAt > doneAt);
    expect(new Set(later.map(({ said }) => said))).toEqual(new Set(["NO_MATCH"]));
    whom = await enrol(site, branchId, whom, whom.person);
    await Promise.all(urls.map((url) => opens(url, whom)));
  }
});

const erasureOf = async ({ enrolmentId }: Visitor): Promise<FaceErasure> =>
  (await enrolments().getFaceErasure({ enrolmentId })).erasure!;

test("a process that is cut off from the face store is named until it decides no more, and then comes the receipt", async () => {
  const whom = await newVisitor(site, branchId, device);
  await Promise.all(urls.map((url) => opens(url, whom)));
  await hasSnapshot(second);
  proxy.cut();
  const coming = startComing(whom);
  const { erasure } = await enrolments().eraseFace({ enrolmentId: whom.enrolmentId });
  expect(erasure).toMatchObject({ state: FaceErasureState.PENDING, receipt: "" });
  expect(erasure?.pendingInstances).toHaveLength(1);
  // The other one is not cut off.
  expect((await askAt(urls[0], at(newPicture(whom)))).said).toBe("NO_MATCH");
  await eventually(async () => expect((await erasureOf(whom)).state).toBe(FaceErasureState.DONE), {
    timeoutMs: 30_000,
  });
  const doneAt = performance.now();
  await eventually(() => expect(coming.came.filter(({ beganAt }) => beganAt > doneAt).length).toBeGreaterThan(8));
  await coming.stop();
  const granted = coming.came.filter(({ said }) => said === "ADMITTED");
  expect(granted.filter(({ beganAt }) => beganAt > doneAt)).toEqual([]);
  expect(granted.length).toBeGreaterThan(0); // It did decide by its copy, until its age.
  expect((await askAt(urls[1], at(newPicture(visitor)))).said).toBe("FACE_STORE_UNAVAILABLE");
  await eventually(async () => expect((await erasureOf(whom)).receipt).not.toBe(""), { timeoutMs: 30_000 });
  proxy.heal();
  await opens(urls[1]);
  expect((await askAt(urls[1], at(newPicture(whom)))).said).toBe("NO_MATCH");
});

/** Resolves when a process has copied the branch's faces. */
async function hasSnapshot({ operatorUrl }: Instance): Promise<void> {
  await eventually(
    async () => {
      const metrics = await (await fetch(`${operatorUrl}/metrics`)).text();
      expect(/^muin_access_snapshot_branches (\S+)$/m.exec(metrics)?.[1]).toBe("1");
    },
    { timeoutMs: 30_000 },
  );
}

test("changes that were trimmed while a process was cut off are not missed: it copies all anew", async () => {
  const [gone, came] = [await newVisitor(site, branchId, device), await newVisitor(site, branchId, device)];
  await enrolments().eraseFace({ enrolmentId: came.enrolmentId });
  await hasSnapshot(second);
  proxy.cut();
  await enrolments().eraseFace({ enrolmentId: gone.enrolmentId });
  const back = await enrol(site, branchId, came, came.person);
  const faces = new Redis(site.mesh.redis.get("faces")!.url);
  await faces.xtrim("{face}:g:changes", "MAXLEN", 0);
  faces.disconnect();
  proxy.heal();
  await opens(urls[1], back);
  await eventually(async () => expect((await erasureOf(gone)).state).toBe(FaceErasureState.DONE), {
    timeoutMs: 30_000,
  });
  const coming = startComing(gone);
  // While the store stands still what decides is the copy, once it is whole.
  const redis = site.mesh.redis.get("faces")!;
  await eventually(
    async () => {
      await redis.kill("SIGSTOP");
      try {
        expect((await askAt(urls[1], at(newPicture(back)))).said).toBe("ADMITTED");
      } finally {
        await redis.kill("SIGCONT");
      }
    },
    { timeoutMs: 30_000 },
  );
  await coming.stop();
  expect(coming.came.filter(({ said }) => said === "ADMITTED")).toEqual([]);
});

test("an old file of the face store brings nobody back who was erased since", async () => {
  const redis = site.mesh.redis.get("faces")!;
  const whom = await newVisitor(site, branchId, device);
  const [file, old] = [join(redis.dir, "appendonlydir"), join(site.mesh.folder.path, "old")];
  await redis.kill("SIGKILL");
  await cp(file, old, { recursive: true });
  await redis.restart();
  await opens(urls[0], whom);
  await eventually(async () => {
    const { erasure } = await enrolments().eraseFace({ enrolmentId: whom.enrolmentId });
    expect(erasure?.state).toBe(FaceErasureState.DONE);
  });
  const coming = startComing(whom);
  await redis.kill("SIGKILL");
  await rm(file, { recursive: true });
  await cp(old, file, { recursive: true, preserveTimestamps: true });
  await redis.restart();
  await Promise.all(urls.map((url) => opens(url)));
  const opened = coming.came.length;
  await eventually(() => expect(coming.came.length).toBeGreaterThan(opened + 8));
  await coming.stop();
  expect(coming.came.filter(({ said }) => said === "ADMITTED")).toEqual([]);
});

test("nothing that was logged, counted, told or answered has a part of an embedding in it", async () => {
  const programs = ["auth", "user", "branch-owner", "mlops", "access"].map((service) => site.instance(service));
  const texts: Buffer[] = [];
  for (const instance of [...programs, second]) {
    texts.push(Buffer.from(instance.program().stdout()), Buffer.from(instance.program().stderr()));
    texts.push(Buffer.from(await (await fetch(`${instance.operatorUrl}/metrics`)).arrayBuffer()));
  }
  const bus = new Redis(site.mesh.redis.get("events")!.url);
  for (const key of await bus.keys("*")) texts.push(await bus.dumpBuffer(key));
  bus.disconnect();
  const doors = deviceClient(AccessService, urls[0], device.privateKey, device.token);
  const tooShort = doors.identify(requestOf(at(newPicture(visitor).slice(4))));
  texts.push(Buffer.from(await tooShort.then(JSON.stringify, Bun.inspect)));
  const all = Buffer.concat(texts);
  const found = (embedding: Uint8Array): boolean => tracesOf(embedding).some((trace) => all.includes(trace));
  const used = embeddingsUsed();
  expect(used.length).toBeGreaterThan(scannedMax);
  // The first ones, of which most were enrolled, and of the others some.
  const scanned = used.filter(
    (_, place) => place < scannedMax / 2 || place % Math.ceil(used.length / (scannedMax / 2)) === 0,
  );
  expect(scanned.filter(found)).toEqual([]);
  // A search that finds nothing shows nothing.
  const stranger = strangersPicture();
  for (const trace of tracesOf(stranger)) expect(Buffer.concat([all, trace]).includes(trace)).toBe(true);
});

/** Of the embeddings that were used about so many are looked for. */
const scannedMax = 100;

/** What would tell of an embedding: some of its bytes as they are, in hex and in base64 at each of its three offsets, or of its numbers as decimals. */
function tracesOf(embedding: Uint8Array): readonly Buffer[] {
  const some = Buffer.from(embedding.buffer, embedding.byteOffset + 64, 24);
  const floats = new Float32Array(embedding.slice().buffer);
  const base64 = [0, 1, 2].map((offset) => some.subarray(offset).toString("base64url").slice(0, 20));
  return [
    some,
    ...[some.toString("hex"), ...base64, ...base64.map((text) => text.replaceAll("-", "+").replaceAll("_", "/"))].map(
      (text) => Buffer.from(text),
    ),
    ...[3, 4, 5].map((place) => Buffer.from(`${floats[place]}`.slice(0, 9))),
  ];
}

/** A proxy in front of a server that can be cut: what went through it is away until it is healed. */
interface CuttingProxy extends Disposable {
  readonly port: number;
  cut(): void;
  heal(): void;
}

function startCuttingProxy(port: number): CuttingProxy {
  let isCut = false;
  const open = new Set<Socket<Pipe>>();
  const pipe: Bun.SocketHandler<Pipe> = {
    data: ({ data }, bytes) => void (data.peer === undefined ? data.early.push(bytes) : data.peer.write(bytes)),
    close: (socket) => {
      open.delete(socket);
      socket.data.peer?.end();
    },
  };
  const listener = Bun.listen<Pipe>({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      ...pipe,
      open: (client) => {
        client.data = { peer: undefined, early: [] };
        if (isCut) {
          client.terminate();
          return;
        }
        open.add(client);
        const data: Pipe = { peer: client, early: [] };
        void Bun.connect<Pipe>({
          hostname: "127.0.0.1",
          port,
          data,
          socket: {
            ...pipe,
            open: (server) => {
              open.add(server);
              client.data.peer = server;
              for (const bytes of client.data.early) server.write(bytes);
            },
          },
        }).catch(() => client.end());
      },
    },
  });
  return {
    port: listener.port,
    cut: () => {
      isCut = true;
      for (const socket of open) socket.terminate();
    },
    heal: () => (isCut = false),
    [Symbol.dispose]: () => listener.stop(true),
  };
}

interface Pipe {
  peer: Socket<Pipe> | undefined;
  /** Bytes that came before the peer was there. */
  readonly early: Buffer[];
}
