import { BranchUpdatedSchema } from "../../gen/muin/identity/v1/branch_events_pb.ts";
import { BranchService } from "../../gen/muin/identity/v1/branch_service_pb.ts";
import { OwnerService } from "../../gen/muin/identity/v1/owner_service_pb.ts";
import { PersonKeyService } from "../../gen/muin/identity/v1/person_key_service_pb.ts";
import {
  UserCreatedSchema,
  UserStatusChangedSchema,
  UserUpdatedSchema,
} from "../../gen/muin/identity/v1/user_events_pb.ts";
import { group } from "../../platform/service/consumption.ts";
import { defineService, type ServiceInfo } from "../../platform/service/define-service.ts";
import { background, on, republisher, serve } from "../../platform/service/parts.ts";
import { createLoop } from "../../platform/lifecycle/loop.ts";
import { rpcs } from "../../platform/service/rpcs.ts";
import { postgres } from "../../platform/service/stores.ts";
import { hoursErrors } from "../../shared/hours/errors.ts";
import { createPersonKeyReader } from "../../shared/person/person-key-reader.ts";
import { createBranchHandlers } from "./branch/handlers.ts";
import { createLockedBranches } from "./branch/locked.ts";
import { createBranchRules } from "./branch/rules.ts";
import { postgresBranchStore } from "./branch/store-postgres.ts";
import { branchOwnerConfig } from "./config.ts";
import { branchOwnerErrors } from "./errors.ts";
import { published } from "./events.ts";
import { createHoursHandlers } from "./hours/handlers.ts";
import { migrations } from "./migrations.ts";
import { createOwnerHandlers } from "./owner/handlers.ts";
import { createOwnerRules } from "./owner/rules.ts";
import { postgresOwnerStore } from "./owner/store-postgres.ts";
import { createPersonRules } from "./person/rules.ts";
import { postgresPersonStore } from "./person/store-postgres.ts";
import { createPersonalData } from "./personal-data/rules.ts";
import { postgresRequestStore } from "./request/store-postgres.ts";
import { createStaffHandlers } from "./staff/handlers.ts";
import { createStaffRules } from "./staff/rules.ts";
import { postgresStaffStore } from "./staff/store-postgres.ts";

/** Owners, branches, their hours, rules and staff. */
export const branchOwner: ServiceInfo<"branch-owner"> = defineService({
  name: "branch-owner",
  summary: "Knows branches: whose they are, when they are open, what they offer, who may enter, who works there.",
  serves: [OwnerService, BranchService],
  calls: { personKeys: rpcs(PersonKeyService, ["getPersonKeys"]) },
  stores: { database: postgres({ database: "branch_owner", migrations }) },
  publishes: published,
  republishes: [BranchUpdatedSchema],
  consumes: [group(UserCreatedSchema), group(UserUpdatedSchema), group(UserStatusChangedSchema)],
  config: branchOwnerConfig,
  errors: { ...branchOwnerErrors.table, ...hoursErrors.table },
  personalData: "held",
  create: ({ stores, calls, publish, config, clock, random, log }) => {
    const { database } = stores;
    const people = postgresPersonStore;
    const owners = postgresOwnerStore;
    const branches = postgresBranchStore;
    const staff = postgresStaffStore;
    const requests = postgresRequestStore;
    const locked = createLockedBranches({ branches, staff, publish, clock });
    const rules = createBranchRules({
      database,
      branches,
      locked,
      owners,
      people,
      staff,
      requests,
      publish,
      clock,
      random,
      branchesPerOwnerMax: config.branchesPerOwnerMax,
      requestIdWindowMs: config.requestIdWindowMs,
    });
    const personalData = createPersonalData({
      database,
      people,
      owners,
      branches,
      staff,
      locked,
      requests,
      clock,
    });
    const keys = createPersonKeyReader({ keys: calls.personKeys, clock });
    const news = createPersonRules({ database, people, personalData, keys, publish, clock });
    return [
      serve(OwnerService, createOwnerHandlers({ rules: createOwnerRules({ database, owners, people, clock }) })),
      serve(BranchService, {
        ...createBranchHandlers({ rules }),
        ...createStaffHandlers({ rules: createStaffRules({ database, branches: rules, locked, people, staff }) }),
        ...createHoursHandlers({ branches: rules, clock }),
      }),
      on(UserCreatedSchema, (event, delivery) => news.created(event, delivery)),
      on(UserUpdatedSchema, (event, delivery) => news.updated(event, delivery)),
      on(UserStatusChangedSchema, (event, delivery) => news.statusChanged(event, delivery)),
      background(
        createLoop({
          name: "branch-owner's memory of requests",
          clock,
          everyMs: forgetEveryMs,
          work: () => requests.forgetOld(database.sql, clock.now()),
          onFailure: (error) => log.warn("old requests could not be forgotten", { err: error }),
        }),
      ),
      republisher([BranchUpdatedSchema], () => rules.republish()),
      personalData,
    ];
  },
});

/** Pause between looks for requests whose time is over. */
const forgetEveryMs = 600_000;
