import { AccountService } from "../../gen/muin/identity/v1/account_service_pb.ts";
import { PersonKeyService } from "../../gen/muin/identity/v1/person_key_service_pb.ts";
import { StaffDataService } from "../../gen/muin/identity/v1/staff_data_service_pb.ts";
import {
  UserCreatedSchema,
  UserDataErasedSchema,
  UserStatusChangedSchema,
  UserUpdatedSchema,
} from "../../gen/muin/identity/v1/user_events_pb.ts";
import { UserService } from "../../gen/muin/identity/v1/user_service_pb.ts";
import { group } from "../../platform/service/consumption.ts";
import { defineService, type ServiceInfo } from "../../platform/service/define-service.ts";
import { background, on, rebuilder, republisher, serve } from "../../platform/service/parts.ts";
import { postgres } from "../../platform/service/stores.ts";
import { createPersonKeyReader } from "../../shared/person/person-key-reader.ts";
import { userConfig } from "./config.ts";
import { copyFromOthers } from "./data-copy.ts";
import { createErasures } from "./erasure.ts";
import { published } from "./events.ts";
import { createHandlers } from "./handlers.ts";
import { migrations } from "./migrations.ts";
import { createPostgresUserStore } from "./store-postgres.ts";
import { createUserChanges } from "./user-changes.ts";

/** People: profile, roles, preferences, membership, status, and their deletion. */
export const user: ServiceInfo<"user"> = defineService({
  name: "user",
  summary: "Knows people: profile, roles, preferences, membership, status; runs the deletion of their data.",
  serves: [UserService],
  calls: { personKeys: PersonKeyService, accounts: AccountService, staff: StaffDataService },
  stores: { database: postgres({ database: "users", migrations }) },
  publishes: published,
  consumes: [group(UserCreatedSchema), group(UserDataErasedSchema)],
  config: userConfig,
  create: ({ stores, calls, publish, config, clock, random, log }) => {
    const { database } = stores;
    const { personKeys, accounts } = calls;
    const store = createPostgresUserStore({ database, clock });
    const keys = createPersonKeyReader({ keys: personKeys, clock });
    const changes = createUserChanges({ database, store, keys, publish, random });
    const erasures = createErasures({
      database,
      store,
      changes,
      personKeys,
      services: config.erasureServices.split(","),
      sweepMs: config.erasureSweepMs,
      clock,
      random,
      log,
    });
    return [
      serve(
        UserService,
        createHandlers({
          store,
          changes,
          erasures,
          copyOfOthers: (userId, signal) => copyFromOthers(userId, calls, signal),
          clock,
          log,
        }),
      ),
      on(UserCreatedSchema, (event, delivery) => changes.signedUp(event, delivery)),
      on(UserDataErasedSchema, (event, delivery) => erasures.confirmed(event, delivery)),
      background(erasures.sweeper),
      republisher([UserUpdatedSchema, UserStatusChangedSchema], () => changes.republish()),
      rebuilder([UserCreatedSchema, UserDataErasedSchema], async () => {
        // Whoever signed up, and whoever may have confirmed an erasure: they say so again, behind what was missed.
        await changes.reannounceErasing();
        for (let pageToken = ""; ;) {
          pageToken = (await accounts.republishAccounts({ pageToken })).nextPageToken;
          if (pageToken === "") return;
        }
      }),
    ];
  },
});
