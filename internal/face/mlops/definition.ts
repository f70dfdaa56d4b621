import { EnrolmentService } from "../../gen/muin/face/v1/enrolment_service_pb.ts";
import { FaceVectorCreatedSchema, FaceVectorErasedSchema } from "../../gen/muin/face/v1/enrolment_events_pb.ts";
import { FaceModelService } from "../../gen/muin/face/v1/face_model_service_pb.ts";
import { BranchCreatedSchema, BranchUpdatedSchema } from "../../gen/muin/identity/v1/branch_events_pb.ts";
import { UserCreatedSchema, UserStatusChangedSchema } from "../../gen/muin/identity/v1/user_events_pb.ts";
import { createBulkhead } from "../../platform/rpc/client/create-bulkhead.ts";
import { group } from "../../platform/service/consumption.ts";
import { defineService, type ServiceInfo } from "../../platform/service/define-service.ts";
import { background, on, republisher, serve } from "../../platform/service/parts.ts";
import { postgres, redis } from "../../platform/service/stores.ts";
import { createInstances } from "../shared/instances.ts";
import { createFaceWriter } from "../shared/face-writer-redis.ts";
import { createStoreEngine } from "../shared/store-engine.ts";
import { formerSecret } from "../shared/template-config.ts";
import { createTemplates } from "../shared/template.ts";
import { copyBranch } from "./branch/rules.ts";
import { postgresBranchStore } from "./branch/store-postgres.ts";
import { mlopsConfig } from "./config.ts";
import { createCheckHandlers } from "./check/handlers.ts";
import { createFaceCheck } from "./check/rules.ts";
import { createEnrolmentAccess } from "./enrolment/access.ts";
import { createFaces } from "./enrolment/faces-redis.ts";
import { createEnrolmentHandlers } from "./enrolment/handlers.ts";
import { postgresDigestStore } from "./digest/store-postgres.ts";
import { createEnrolmentRules } from "./enrolment/rules.ts";
import { createFaceSaga } from "./enrolment/saga.ts";
import { postgresEnrolmentStore } from "./enrolment/store-postgres.ts";
import { createSweeper } from "./enrolment/sweeper.ts";
import { createAppliedWait } from "./erasure/applied.ts";
import { createErasableFaces } from "./erasure/faces-redis.ts";
import { createErasureHandlers } from "./erasure/handlers.ts";
import { createReceiptSigner } from "./receipt/signer.ts";
import { postgresReceiptKeyStore } from "./receipt/store-postgres.ts";
import { createErasureRules } from "./erasure/rules.ts";
import { createErasureSaga } from "./erasure/saga.ts";
import { postgresErasureStore } from "./erasure/store-postgres.ts";
import { createErasureSweeper } from "./erasure/sweeper.ts";
import { mlopsErrors } from "./errors.ts";
import { announceFaceErased, published } from "./events.ts";
import { allGalleries, galleriesAt } from "./gallery/generations.ts";
import { createGalleryRules } from "./gallery/rules.ts";
import { postgresGalleryStore } from "./gallery/store-postgres.ts";
import { migrations } from "./migrations.ts";
import { createLedgerReplay } from "./ledger/replay.ts";
import { takeOutOther } from "./ledger/take-out-other.ts";
import { tellAnew } from "./ledger/tell-anew.ts";
import { createModelHandlers } from "./model/handlers.ts";
import { createModelRules } from "./model/rules.ts";
import { postgresModelStore } from "./model/store-postgres.ts";
import { createPersonRules } from "./person/rules.ts";
import { postgresPersonStore } from "./person/store-postgres.ts";
import { createPersonalData, createPersonErasures } from "./personal-data/rules.ts";
import { postgresPersonErasureStore } from "./personal-data/store-postgres.ts";
import { createRenewalHandlers } from "./renewal/handlers.ts";
import { createRenewalRules } from "./renewal/rules.ts";
import { postgresRequestStore } from "./request/store-postgres.ts";

/** Writes of faces of one process that are worked on at a time: each takes two connections of its database, which has ten. */
const atOnceMax = 4;
/** Writes of faces of one process that may wait for their turn: each holds some embeddings. */
const waitingMax = 512;
/** How long a face stays on the deny-lists after its receipt, in milliseconds: nothing that was on its way then takes so long. */
const denialKeptMs = 86_400_000;

/** Where each noun keeps its rows, under the names by which the rules of other nouns ask for it. */
const stores = {
  branches: postgresBranchStore,
  people: postgresPersonStore,
  models: postgresModelStore,
  galleries: postgresGalleryStore,
  enrolments: postgresEnrolmentStore,
  digests: postgresDigestStore,
  requests: postgresRequestStore,
  erasures: postgresErasureStore,
  receiptKeys: postgresReceiptKeyStore,
  personErasures: postgresPersonErasureStore,
};

/** Face models, and whose faces open which doors. */
export const mlops: ServiceInfo<"mlops"> = defineService({
  name: "mlops",
  summary: "Enrols faces, and knows by which model each branch's doors decide.",
  serves: [FaceModelService, EnrolmentService],
  calls: {},
  stores: {
    database: postgres({ database: "mlops", migrations }),
    faces: redis("faces", "read-write", { keys: ["{face}:g:*"], vectorSets: true }),
    doors: redis("faces", "read-only", { keys: ["{face}:d:*"] }),
  },
  publishes: published,
  republishes: [FaceVectorCreatedSchema, FaceVectorErasedSchema],
  consumes: [
    group(UserCreatedSchema),
    group(UserStatusChangedSchema),
    group(BranchCreatedSchema),
    group(BranchUpdatedSchema),
  ],
  config: mlopsConfig,
  errors: mlopsErrors.table,
  personalData: "held",
  create: ({ stores: { database, faces: store, doors: doorStore }, publish, config, clock, random, log, metrics }) => {
    const writer = createFaceWriter(store);
    const engine = createStoreEngine({ store, forDoors: false });
    const templates = createTemplates({ present: config.templateSecret, former: formerSecret(config) });
    const base = { database, ...stores, writer, templates, publish, clock, random, log };
    const faces = createFaces({ store, writer, engine, clock });
    const modelRules = createModelRules(base);
    const doors = createGalleryRules(base);
    const { requestIdWindowMs } = config;
    const access = createEnrolmentAccess(base);
    const saga = createFaceSaga({ ...base, doors, faces, requestIdWindowMs });
    const rules = createEnrolmentRules({
      ...base,
      doors,
      faces,
      saga,
      access,
      turns: createBulkhead({ name: "writes of faces", concurrentMax: atOnceMax, queueMax: waitingMax, metrics }),
    });
    const applied = createAppliedWait({ instances: createInstances(doorStore), store, clock });
    const erasableFaces = createErasableFaces({ store, writer });
    const erasing = {
      ...base,
      faces: erasableFaces,
      signer: createReceiptSigner(config.templateSecret),
      galleriesOf: (branchIds: readonly string[]) => galleriesAt(base, branchIds),
      denialKeptMs,
    };
    const erasureSaga = createErasureSaga({
      ...erasing,
      applied,
      signed: async (tx, erasure, timeMs) => {
        await announceFaceErased(tx, publish, erasure, timeMs);
        await people.settle(tx, erasure.memberId);
      },
    });
    const erasureSweeper = createErasureSweeper({ ...erasing, saga: erasureSaga, everyMs: config.sweepEveryMs });
    const erasureRules = createErasureRules({ ...base, access, saga: erasureSaga, sweeper: erasureSweeper });
    const personalData = createPersonalData({ ...base, rules: erasureRules });
    const people = createPersonErasures({ ...base, personalData });
    const news = createPersonRules({ ...base, erasures: people });
    const ledger = createLedgerReplay({
      ...erasing,
      store,
      allGalleries: () => allGalleries(base),
      beforeFresh: async (signal) => {
        await takeOutOther({ ...base, saga, store }, signal);
        await tellAnew({ ...base, doors, modelRules }, signal);
      },
    });
    return [
      serve(FaceModelService, {
        ...createModelHandlers({ ...base, sql: database.sql, rules: modelRules, doors }),
        ...createRenewalHandlers({ ...base, rules: createRenewalRules({ ...base, saga, doors, faces }) }),
        ...createCheckHandlers({ ...base, check: createFaceCheck({ ...erasing, store }) }),
      }),
      serve(EnrolmentService, {
        ...createEnrolmentHandlers({ rules, applied }),
        ...createErasureHandlers({ ...erasing, rules: erasureRules }),
      }),
      on(UserCreatedSchema, (event) => news.created(event)),
      on(UserStatusChangedSchema, (event, delivery) => news.statusChanged(event, delivery)),
      on(BranchCreatedSchema, (event, delivery) => copyBranch(base, event, delivery)),
      on(BranchUpdatedSchema, (event, delivery) => copyBranch(base, event, delivery)),
      background(createSweeper({ ...base, saga, doors, modelRules, everyMs: config.sweepEveryMs })),
      background(ledger.component),
      background(erasureSweeper),
      republisher([FaceVectorCreatedSchema, FaceVectorErasedSchema], async () => {
        return (await rules.republish()) + (await erasureRules.republish());
      }),
      personalData,
    ];
  },
});
