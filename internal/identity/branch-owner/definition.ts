import { BranchUpdatedSchema } from "../../gen/muin/identity/v1/branch_events_pb.ts";
import { BranchService } from "../../gen/muin/identity/v1/branch_service_pb.ts";
import { OwnerService } from "../../gen/muin/identity/v1/owner_service_pb.ts";
import { PersonKeyService } from "../../gen/muin/identity/v1/person_key_service_pb.ts";
import { StaffDataService } from "../../gen/muin/identity/v1/staff_data_service_pb.ts";
import {
  UserCreatedSchema,
  UserStatusChangedSchema,
  UserUpdatedSchema,
} from "../../gen/muin/identity/v1/user_events_pb.ts";
import { group } from "../../platform/service/consumption.ts";
import { defineService, type ServiceInfo } from "../../platform/service/define-service.ts";
import { background, on, republisher, serve } from "../../platform/service/parts.ts";
import { createLoop } from "../../platform/lifecycle/loop.ts";
import { postgres } from "../../platform/service/stores.ts";
import { createPersonKeyReader } from "../../shared/person/person-key-reader.ts";
import { branchOwnerConfig } from "./config.ts";
import { branchOwnerErrors } from "./errors.ts";
import { published } from "./events.ts";
import { createBranchHandlers, createOwnerHandlers } from "./handlers.ts";
import branchesSql from "./migrations/0001_branches.sql" with { type: "text" };
import { createOwners } from "./owner.ts";
import { createPeople } from "./person.ts";
import { createStaffDataHandlers } from "./staff-data.ts";
import { createStaff } from "./staff.ts";
import { createPostgresBranchStore } from "./store-postgres.ts";

/** Owners, branches, their hours, rules and staff. */
export const branchOwner: ServiceInfo<"branch-owner"> = defineService({
  name: "branch-owner",
  summary: "Knows branches: whose they are, when they are open, what they offer, who may enter, who works there.",
  serves: [OwnerService, BranchService, StaffDataService],
  calls: { personKeys: PersonKeyService },
  stores: {
    database: postgres({
      database: "branch_owner",
      migrations: [{ name: "0001_branches", sql: branchesSql }],
    }),
  },
  publishes: published,
  consumes: [group(UserCreatedSchema), group(UserUpdatedSchema), group(UserStatusChangedSchema)],
  config: branchOwnerConfig,
  errors: branchOwnerErrors.table,
  create: ({ stores, calls, publish, config, clock, random, log }) => {
    const { database } = stores;
    const store = createPostgresBranchStore({ database, publish, clock, random, config });
    const keys = createPersonKeyReader({ keys: calls.personKeys, clock });
    const people = createPeople({ database, publish, store, keys, clock });
    return [
      serve(OwnerService, createOwnerHandlers(createOwners({ database, clock }))),
      serve(BranchService, createBranchHandlers({ store, staff: createStaff({ database, store }), clock })),
      serve(StaffDataService, createStaffDataHandlers(database)),
      on(UserCreatedSchema, (event, delivery) => people.created(event, delivery)),
      on(UserUpdatedSchema, (event, delivery) => people.updated(event, delivery)),
      on(UserStatusChangedSchema, (event, delivery) => people.statusChanged(event, delivery)),
      background(
        createLoop({
          name: "branch-owner's memory of requests",
          clock,
          everyMs: forgetEveryMs,
          work: () => store.forgetRequests(),
          onFailure: (error) => log.warn("old requests could not be forgotten", { err: error }),
        }),
      ),
      republisher([BranchUpdatedSchema], () => store.republish()),
    ];
  },
});

/** Pause between looks for requests whose time is over. */
const forgetEveryMs = 600_000;
