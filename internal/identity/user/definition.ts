import { AccountService } from "../../gen/muin/identity/v1/account_service_pb.ts";
import { PersonKeyService } from "../../gen/muin/identity/v1/person_key_service_pb.ts";
import { ScopeService } from "../../gen/muin/identity/v1/scope_service_pb.ts";
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
import { rpcs } from "../../platform/service/rpcs.ts";
import { postgres } from "../../platform/service/stores.ts";
import { createPersonKeyReader } from "../../shared/person/person-key-reader.ts";
import { userConfig } from "./config.ts";
import { createErasureHandlers } from "./erasure/handlers.ts";
import { createLapses } from "./erasure/lapses.ts";
import { createErasureRules } from "./erasure/rules.ts";
import { postgresErasureStore } from "./erasure/store-postgres.ts";
import { userErrors } from "./errors.ts";
import { published } from "./events.ts";
import { createMembershipHandlers } from "./membership/handlers.ts";
import { migrations } from "./migrations.ts";
import { createActing } from "./person/acting.ts";
import { createPersonHandlers } from "./person/handlers.ts";
import { createPersonRules } from "./person/rules.ts";
import { postgresPersonStore } from "./person/store-postgres.ts";
import { createPersonalDataHandlers } from "./personal-data/handlers.ts";
import { createPreferenceHandlers } from "./preference/handlers.ts";
import { createPreferenceRules } from "./preference/rules.ts";
import { postgresPreferenceStore } from "./preference/store-postgres.ts";
import { createProfileHandlers } from "./profile/handlers.ts";
import { createRoleHandlers } from "./role/handlers.ts";
import { createStatusHandlers } from "./status/handlers.ts";
import { createStatusRules } from "./status/rules.ts";

/** People: profile, roles, preferences, membership, status, and their deletion. */
export const user: ServiceInfo<"user"> = defineService({
  name: "user",
  summary: "Knows people: profile, roles, preferences, membership, status; runs the deletion of their data.",
  serves: [UserService],
  calls: {
    personKeys: rpcs(PersonKeyService, ["getPersonKeys", "destroyPersonKey"]),
    scopes: rpcs(ScopeService, ["getHeldScopes"]),
    accounts: rpcs(AccountService, ["listLapsedAccounts"]),
  },
  stores: { database: postgres({ database: "users", migrations }) },
  publishes: published,
  republishes: [UserUpdatedSchema, UserStatusChangedSchema],
  consumes: [group(UserCreatedSchema), group(UserDataErasedSchema)],
  config: userConfig,
  errors: userErrors.table,
  personalData: "collected",
  create: ({ stores, calls, personalData, publish, config, clock, random, log }) => {
    const { database } = stores;
    const { personKeys, scopes, accounts } = calls;
    const people = postgresPersonStore;
    const preferences = postgresPreferenceStore;
    const erasures = postgresErasureStore;
    const keys = createPersonKeyReader({ keys: personKeys, clock });
    const acting = createActing({ scopes });
    const rules = createPersonRules({ database, people, keys, publish, clock, random });
    const statusRules = createStatusRules({ database, people, acting, publish, clock });
    const preferenceRules = createPreferenceRules({ database, people, preferences });
    const erasureRules = createErasureRules({
      database,
      people,
      acting,
      preferences,
      erasures,
      personKeys,
      publish,
      services: personalData.names,
      sweepMs: config.erasureSweepMs,
      clock,
      random,
      log,
    });
    return [
      serve(UserService, {
        ...createPersonHandlers({ database, people }),
        ...createProfileHandlers({ rules, acting, log }),
        ...createRoleHandlers({ rules, acting, log }),
        ...createMembershipHandlers({ rules, acting, log }),
        ...createStatusHandlers({ rules: statusRules, log }),
        ...createPreferenceHandlers({ rules: preferenceRules }),
        ...createErasureHandlers({ rules: erasureRules, database, erasures, log }),
        ...createPersonalDataHandlers({
          database,
          people,
          acting,
          preferences: preferenceRules,
          holders: personalData,
          clock,
          log,
        }),
      }),
      on(UserCreatedSchema, (event, delivery) => rules.signedUp(event, delivery)),
      on(UserDataErasedSchema, (event, delivery) => erasureRules.confirmed(event, delivery)),
      background(erasureRules.sweeper),
      background(createLapses({ accounts, rules: erasureRules, clock, log })),
      republisher([UserUpdatedSchema, UserStatusChangedSchema], () => rules.republish()),
      // Whoever may have confirmed an erasure says so again.
      rebuilder([UserDataErasedSchema], () => erasureRules.reannounce()),
    ];
  },
});
