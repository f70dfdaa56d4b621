import { EnrolmentService } from "../../gen/muin/face/v1/enrolment_service_pb.ts";
import { FaceVectorCreatedSchema } from "../../gen/muin/face/v1/enrolment_events_pb.ts";
import { FaceModelService } from "../../gen/muin/face/v1/face_model_service_pb.ts";
import { BranchCreatedSchema, BranchUpdatedSchema } from "../../gen/muin/identity/v1/branch_events_pb.ts";
import { UserCreatedSchema, UserStatusChangedSchema } from "../../gen/muin/identity/v1/user_events_pb.ts";
import { createBulkhead } from "../../platform/rpc/client/create-bulkhead.ts";
import { group } from "../../platform/service/consumption.ts";
import { defineService, type ServiceInfo } from "../../platform/service/define-service.ts";
import { background, on, republisher, serve } from "../../platform/service/parts.ts";
import { postgres, redis } from "../../platform/service/stores.ts";
import { createFaceWriter } from "../shared/face-writer-redis.ts";
import { createStoreEngine } from "../shared/store-engine.ts";
import { formerSecret } from "../shared/template-config.ts";
import { createTemplates } from "../shared/template.ts";
import { copyBranch } from "./branch/rules.ts";
import { postgresBranchStore } from "./branch/store-postgres.ts";
import { mlopsConfig } from "./config.ts";
import { createEnrolmentAccess } from "./enrolment/access.ts";
import { createFaces } from "./enrolment/faces-redis.ts";
import { createEnrolmentHandlers } from "./enrolment/handlers.ts";
import { createEnrolmentRules } from "./enrolment/rules.ts";
import { createFaceSaga } from "./enrolment/saga.ts";
import { postgresEnrolmentStore } from "./enrolment/store-postgres.ts";
import { createSweeper } from "./enrolment/sweeper.ts";
import { mlopsErrors } from "./errors.ts";
import { published } from "./events.ts";
import { createGalleryRules } from "./gallery/rules.ts";
import { postgresGalleryStore } from "./gallery/store-postgres.ts";
import { migrations } from "./migrations.ts";
import { createModelHandlers } from "./model/handlers.ts";
import { createModelRules } from "./model/rules.ts";
import { postgresModelStore } from "./model/store-postgres.ts";
import { createPersonRules } from "./person/rules.ts";
import { postgresPersonStore } from "./person/store-postgres.ts";
import { createPersonalData } from "./personal-data/rules.ts";
import { postgresRequestStore } from "./request/store-postgres.ts";

/** Writes of faces of one process that are worked on at a time: each takes two connections of its database, which has ten. */
const atOnceMax = 4;
/** Writes of faces of one process that may wait for their turn: each holds some embeddings. */
const waitingMax = 512;

/** Where each noun keeps its rows, under the names by which the rules of other nouns ask for it. */
const stores = {
  branches: postgresBranchStore,
  people: postgresPersonStore,
  models: postgresModelStore,
  galleries: postgresGalleryStore,
  enrolments: postgresEnrolmentStore,
  requests: postgresRequestStore,
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
  },
  publishes: published,
  republishes: [FaceVectorCreatedSchema],
  consumes: [
    group(UserCreatedSchema),
    group(UserStatusChangedSchema),
    group(BranchCreatedSchema),
    group(BranchUpdatedSchema),
  ],
  config: mlopsConfig,
  errors: mlopsErrors.table,
  personalData: "held",
  create: ({ stores: { database, faces: store }, publish, config, clock, random, log, metrics }) => {
    const writer = createFaceWriter(store);
    const engine = createStoreEngine({ store, forDoors: false });
    const templates = createTemplates({ present: config.templateSecret, former: formerSecret(config) });
    const base = { database, ...stores, writer, templates, publish, clock, random, log };
    const faces = createFaces({ store, writer, engine, clock });
    const modelRules = createModelRules(base);
    const doors = createGalleryRules(base);
    const { requestIdWindowMs } = config;
    const saga = createFaceSaga({ ...base, doors, faces, requestIdWindowMs });
    const rules = createEnrolmentRules({
      ...base,
      doors,
      faces,
      saga,
      access: createEnrolmentAccess(base),
      turns: createBulkhead({ name: "writes of faces", concurrentMax: atOnceMax, queueMax: waitingMax, metrics }),
    });
    const personalData = createPersonalData({ ...base, faces });
    const news = createPersonRules({ ...base, personalData });
    return [
      serve(FaceModelService, createModelHandlers({ ...base, sql: database.sql, rules: modelRules, doors })),
      serve(EnrolmentService, createEnrolmentHandlers({ rules })),
      on(UserCreatedSchema, (event) => news.created(event)),
      on(UserStatusChangedSchema, (event, delivery) => news.statusChanged(event, delivery)),
      on(BranchCreatedSchema, (event, delivery) => copyBranch(base, event, delivery)),
      on(BranchUpdatedSchema, (event, delivery) => copyBranch(base, event, delivery)),
      background(createSweeper({ ...base, saga, doors, modelRules, everyMs: config.sweepEveryMs })),
      republisher([FaceVectorCreatedSchema], () => rules.republish()),
      personalData,
    ];
  },
});
