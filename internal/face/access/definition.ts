import { hostname } from "node:os";
import { join } from "node:path";
import { AccessService } from "../../gen/muin/face/v1/access_service_pb.ts";
import { BranchCreatedSchema, BranchUpdatedSchema } from "../../gen/muin/identity/v1/branch_events_pb.ts";
import { UserStatusChangedSchema, UserUpdatedSchema } from "../../gen/muin/identity/v1/user_events_pb.ts";
import { group } from "../../platform/service/consumption.ts";
import { defineService, type ServiceInfo } from "../../platform/service/define-service.ts";
import { background, on, serve } from "../../platform/service/parts.ts";
import { folder, postgres, redis } from "../../platform/service/stores.ts";
import { hoursErrors } from "../../shared/hours/errors.ts";
import { createStoreEngine } from "../shared/store-engine.ts";
import { formerSecret } from "../shared/template-config.ts";
import { createTemplates } from "../shared/template.ts";
import { createAttemptMemory } from "./attempt/memory.ts";
import { accessConfig } from "./config.ts";
import { createCurrentCopies } from "./copies/current.ts";
import { createNewsRules } from "./copies/rules.ts";
import { createRedisCopies } from "./copies/store-redis.ts";
import { createFaces } from "./decision/faces.ts";
import { createDecisionHandlers } from "./decision/handlers.ts";
import { createDecisionMeters } from "./decision/meters.ts";
import { createDecisionRules } from "./decision/rules.ts";
import { createDoubt } from "./doubt/doubt.ts";
import { createEntryHandlers } from "./entry/handlers.ts";
import { createEntryNews } from "./entry/news.ts";
import { createRetention } from "./entry/retention.ts";
import { createEntryRules } from "./entry/rules.ts";
import { createEntryTail } from "./entry/tail.ts";
import { postgresEntryStore as entries } from "./entry/store-postgres.ts";
import { accessErrors } from "./errors.ts";
import { published, requestsForCopies } from "./events.ts";
import { copyChangesKey, keyPattern, memberKey } from "./face-store/keys.ts";
import { migrations } from "./migrations.ts";
import { forgettingErased } from "./personal-data/forgetting.ts";
import { createErasure } from "./personal-data/rules.ts";
import { createHedgedEngine } from "./snapshot/hedge.ts";
import { createSnapshotMeters } from "./snapshot/meters.ts";
import { createRedisRecords } from "./snapshot/records-redis.ts";
import { createSnapshots } from "./snapshot/snapshots.ts";
import { createStoreHealth } from "./snapshot/store-health.ts";
import { createDrain } from "./queue/drain.ts";
import { createEntryQueue } from "./queue/entry-queue.ts";
import { createStoreWatch } from "./face-store/watch.ts";

/** Decides at doors, and knows who came in. */
export const access: ServiceInfo<"access"> = defineService({
  name: "access",
  summary:
    "Decides at doors whether to open them: exactly, in milliseconds, whatever else is away. Keeps the log of entries.",
  serves: [AccessService],
  hot: [AccessService.method.identify, AccessService.method.verify],
  calls: {},
  stores: {
    database: postgres({ database: "access", migrations }),
    faces: redis("faces", "read-write", { keys: [keyPattern] }),
    galleries: redis("faces", "read-only", { keys: ["{face}:g:*"], vectorSets: true }),
    queue: folder(),
  },
  publishes: published,
  consumes: [
    group(UserUpdatedSchema),
    group(UserStatusChangedSchema),
    group(BranchCreatedSchema),
    group(BranchUpdatedSchema),
  ],
  config: accessConfig,
  errors: { ...accessErrors.table, ...hoursErrors.table },
  personalData: "held",
  standsAlone: true,
  keepsIdentityIn: "queue",
  verifiesEntryPasses: true,
  create: ({ stores, publish, broker, entryPasses, config, clock, random, log, metrics }) => {
    const { database, faces, galleries } = stores;
    const watch = createStoreWatch(clock);
    const copies = createRedisCopies(faces);
    const ask = () => broker.publish(requestsForCopies({ clock, random }));
    const doubt = createDoubt({ store: faces, folder: stores.queue.path, watch, ask, clock, log });
    const memory = createAttemptMemory({ faces, folder: stores.queue.path, watch, limits: config, clock, random, log });
    const queue = createEntryQueue({ folder: join(stores.queue.path, "entries"), bytesMax: config.queueBytesMax, log });
    const erasure = createErasure({ database, copies, attempts: memory.all, entries, publish, clock, random });
    const news = createEntryNews(database, clock);
    const tail = createEntryTail({ database, entries, news, clock });
    const engine = createStoreEngine({ store: galleries, forDoors: true, besideKey: memberKey });
    const snapshotMeters = createSnapshotMeters(metrics);
    const snapshots = createSnapshots({
      ...config,
      faces: galleries,
      door: faces,
      records: forgettingErased(createRedisRecords(faces, doubt), memory.own),
      recordsKey: copyChangesKey,
      folder: stores.queue.path,
      host: hostname(),
      clock,
      random,
      log,
      meters: snapshotMeters,
    });
    const hedged = createHedgedEngine({
      store: engine,
      snapshot: snapshots.engine,
      health: createStoreHealth(clock),
      clock,
      afterMs: config.hedgeAfterMs,
      meters: snapshotMeters.hedge,
    });
    const snapshot = (branchId: string) => snapshots.engine.view(branchId);
    const current = createCurrentCopies({ copies, watch, snapshot, clock });
    const decisions = createDecisionRules({
      attempts: memory.attempts,
      faces: createFaces({
        store: galleries,
        engine: hedged,
        templates: createTemplates({ present: config.templateSecret, former: formerSecret(config) }),
        watch,
        snapshot,
        clock,
      }),
      copies: current,
      doubt,
      passes: entryPasses,
      queue,
      meters: createDecisionMeters(metrics),
      presentationScoreMin: config.presentationScoreMinPercent / 100,
      clock,
      random,
    });
    const rules = createEntryRules({ database, entries, copies: current, doubt, tail, clock });
    const heard = createNewsRules({ copies, erasure });
    return [
      serve(AccessService, {
        ...createDecisionHandlers({ rules: decisions, clock }),
        ...createEntryHandlers({ rules }),
      }),
      on(UserUpdatedSchema, (event, delivery) => heard.updated(event, delivery)),
      on(UserStatusChangedSchema, (event, delivery) => heard.statusChanged(event, delivery)),
      on(BranchCreatedSchema, (event, delivery) => heard.branch(event, delivery)),
      on(BranchUpdatedSchema, (event, delivery) => heard.branch(event, delivery)),
      // The queue is stopped last: what is decided until then is on disk, and its database has it where that is there.
      background(queue),
      background(memory.untold),
      background(engine),
      background(doubt),
      background(snapshots),
      background(
        createDrain({ queue, database, entries, publish, newPseudonym: erasure.newPseudonym, clock, log, metrics }),
      ),
      background(createRetention({ database, entries, retentionDays: config.entryRetentionDays, clock, log })),
      background(news),
      erasure.part,
    ];
  },
});
