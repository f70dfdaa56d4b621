/**
 * A process that erases a face and halts at a step, for the test that kills it there. Arguments: URL of mlops' database, URL of the face Redis, id of the enrolment, the
 * step. Prints the step when it has come to it, and "done" when the receipt is there.
 */
import type { Transaction } from "../../../platform/postgres/database.ts";
import { systemClock } from "../../../platform/clock/clock.ts";
import { systemRandom } from "../../../platform/clock/random.ts";
import { createPublish } from "../../../platform/events/outbox.ts";
import { orThrow } from "../../../platform/errors/refusal.ts";
import { openDatabase } from "../../../platform/postgres/open-database.ts";
import { openRedis } from "../../../platform/redis/open-redis.ts";
import type { Logger } from "../../../platform/telemetry/logger.ts";
import { secret } from "../../shared/face-fixture.ts";
import { createFaceWriter } from "../../shared/face-writer-redis.ts";
import { createInstances } from "../../shared/instances.ts";
import { postgresEnrolmentStore } from "../enrolment/store-postgres.ts";
import { announceFaceErased } from "../events.ts";
import { galleriesAt } from "../gallery/generations.ts";
import { postgresGalleryStore } from "../gallery/store-postgres.ts";
import { postgresRequestStore } from "../request/store-postgres.ts";
import { createAppliedWait } from "./applied.ts";
import { operator } from "./erasure-fixture.ts";
import { createErasableFaces } from "./faces-redis.ts";
import type { ErasableFaces } from "./faces.ts";
import { createReceiptSigner } from "../receipt/signer.ts";
import { postgresReceiptKeyStore } from "../receipt/store-postgres.ts";
import { createErasureRules } from "./rules.ts";
import { createErasureSaga } from "./saga.ts";
import { postgresErasureStore } from "./store-postgres.ts";
import type { ErasureStore, StoredErasure } from "./store.ts";

const [databaseUrl = "", redisUrl = "", enrolmentId = "", step = ""] = process.argv.slice(2);

/** Says where it is, and never returns where the test wants it to halt. */
async function reached(here: string): Promise<void> {
  if (here !== step) return;
  process.stdout.write(`${here}\n`);
  await systemClock.sleep(3_600_000);
}

const silent: Logger = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {}, child: () => silent };
const database = openDatabase({ url: databaseUrl, applicationName: "child", poolMax: 4 });
const store = openRedis({ url: redisUrl, name: "child" });
await store.start();
const writer = createFaceWriter(store);
const whole = createErasableFaces({ store, writer });
const faces: ErasableFaces = {
  ...whole,
  remove: async (...what) => {
    await reached("before remove");
    const changeId = await whole.remove(...what);
    await reached("after remove");
    return changeId;
  },
  scrub: async (face) => {
    await reached("before scrub");
    await whole.scrub(face);
  },
};
const erasures: ErasureStore = {
  ...postgresErasureStore,
  add: async (tx, entry) => {
    await postgresErasureStore.add(tx, entry);
    await reached("within RECORDED");
  },
  took: async (sql, erasureId, taken) => {
    await reached(`before ${taken.step}`);
    await postgresErasureStore.took(sql, erasureId, taken);
    await reached(`after ${taken.step}`);
  },
};
const publish = createPublish({
  source: "/muin/mlops",
  clock: systemClock,
  random: systemRandom,
  currentTraceparent: () => "",
});
const galleries = postgresGalleryStore;
const base = {
  database,
  erasures,
  faces,
  writer,
  galleries,
  publish,
  clock: systemClock,
  random: systemRandom,
  log: silent,
};
const saga = createErasureSaga({
  ...base,
  galleriesOf: (branchIds) => galleriesAt(base, branchIds),
  applied: createAppliedWait({ instances: createInstances(store), store, clock: systemClock }),
  signer: createReceiptSigner(secret),
  receiptKeys: postgresReceiptKeyStore,
  signed: async (tx: Transaction, erasure: StoredErasure, timeMs: number) => {
    await announceFaceErased(tx, publish, erasure, timeMs);
    await reached("within SIGNED");
  },
  denialKeptMs: 86_400_000,
});
const rules = createErasureRules({
  ...base,
  saga,
  enrolments: postgresEnrolmentStore,
  requests: postgresRequestStore,
  access: {
    refusalToChange: () => Promise.resolve(undefined),
    refusalToRead: () => Promise.resolve(undefined),
  },
  sweeper: { wake: () => undefined },
});

const { erasure } = orThrow(await rules.erase(operator, enrolmentId, new AbortController().signal));
const last = await saga.advance(erasure, 1000);
if (last.receipt === "") throw new Error("nobody is at the doors, and there is no receipt");
await reached("after SIGNED");
process.stdout.write("done\n");
await store.stop();
await database.stop();
