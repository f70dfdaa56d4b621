import { FaceVectorCreatedSchema, FaceVectorErasedSchema } from "../../gen/muin/face/v1/enrolment_events_pb.ts";
import { AccountService } from "../../gen/muin/identity/v1/account_service_pb.ts";
import { ApiKeyService } from "../../gen/muin/identity/v1/api_key_service_pb.ts";
import { AuditService } from "../../gen/muin/identity/v1/audit_service_pb.ts";
import { AuthService } from "../../gen/muin/identity/v1/auth_service_pb.ts";
import { DeviceService } from "../../gen/muin/identity/v1/device_service_pb.ts";
import { BranchCreatedSchema, BranchUpdatedSchema } from "../../gen/muin/identity/v1/branch_events_pb.ts";
import { CredentialService } from "../../gen/muin/identity/v1/credential_service_pb.ts";
import { EnrolmentRecordService } from "../../gen/muin/identity/v1/enrolment_record_service_pb.ts";
import { PersonKeyService } from "../../gen/muin/identity/v1/person_key_service_pb.ts";
import { ScopeService } from "../../gen/muin/identity/v1/scope_service_pb.ts";
import { ServiceTokenService } from "../../gen/muin/identity/v1/service_token_service_pb.ts";
import {
  UserCreatedSchema,
  UserStatusChangedSchema,
  UserUpdatedSchema,
} from "../../gen/muin/identity/v1/user_events_pb.ts";
import { group } from "../../platform/service/consumption.ts";
import { defineService, type ServiceInfo } from "../../platform/service/define-service.ts";
import { background, on, readiness, republisher, serve } from "../../platform/service/parts.ts";
import { createMailer } from "../../platform/mail/create-mailer.ts";
import { postgres } from "../../platform/service/stores.ts";
import { createAccountDataHandlers } from "./account/data.ts";
import { createDeviceHandlers } from "./device/handlers.ts";
import { createDevices } from "./device/rules.ts";
import { createAccounts } from "./account/rules.ts";
import { createApiKeys } from "./api-key/rules.ts";
import { createAuditHandlers } from "./audit/handlers.ts";
import { copyBranch } from "./device/branch.ts";
import { authConfig } from "./config.ts";
import { createFactorHandlers } from "./factor/handlers.ts";
import { createEnrolmentRecordHandlers } from "./enrolment/handlers.ts";
import { createEnrolments } from "./enrolment/rules.ts";
import { published } from "./events.ts";
import { createApiKeyHandlers } from "./api-key/handlers.ts";
import { createAccountHandlers, createRecoveryHandlers } from "./account/handlers.ts";
import { createSessionHandlers } from "./session/handlers.ts";
import { createKeyHandlers, createServiceTokenHandlers } from "./token/handlers.ts";
import { createPersonKeyHandlers } from "./person-key/handlers.ts";
import { migrations } from "./migrations.ts";
import { createOutgoingMails } from "./mail/rules.ts";
import { createPasswordQueue } from "./account/password.ts";
import { createPersonKeys } from "./person-key/rules.ts";
import { createPeople } from "./account/person.ts";
import { createPruning } from "./retention/rules.ts";
import { createRecovery } from "./account/recovery.ts";
import { republishUsers } from "./account/republish.ts";
import { createScopeHandlers } from "./scope/handlers.ts";
import { createScopes } from "./scope/rules.ts";
import { createSecondFactors } from "./factor/rules.ts";
import { createSessions } from "./session/rules.ts";
import { createSigningKeys } from "./token/signing-keys.ts";
import { createTokenIssuer } from "./token/issuer.ts";
import { createVault } from "./secret/vault.ts";

/** Accounts, sessions, tokens, API keys and people's keys. */
export const auth: ServiceInfo<"auth"> = defineService({
  name: "auth",
  summary: "Knows who calls: accounts, sessions, tokens, API keys and the keys of people's data.",
  serves: [
    AuthService,
    ApiKeyService,
    ServiceTokenService,
    PersonKeyService,
    EnrolmentRecordService,
    CredentialService,
    AccountService,
    ScopeService,
    AuditService,
    DeviceService,
  ],
  calls: {},
  stores: { database: postgres({ database: "auth", migrations }) },
  publishes: published,
  consumes: [
    group(UserUpdatedSchema),
    group(UserStatusChangedSchema),
    group(BranchCreatedSchema),
    group(BranchUpdatedSchema),
    group(FaceVectorCreatedSchema, { publishedBy: "mlops" }),
    group(FaceVectorErasedSchema, { publishedBy: "mlops" }),
  ],
  config: authConfig,
  create: ({ stores, publish, config, clock, random, log, metrics }) => {
    const { database } = stores;
    const vault = createVault(config.keyEncryptionSecret, random);
    const keys = createSigningKeys({ database, vault, clock, random, config });
    const tokens = createTokenIssuer({ keys, clock, random, config });
    const personKeys = createPersonKeys({ database, vault, clock, random });
    const sessions = createSessions({ database, publish, vault, tokens, clock, random, config });
    const passwords = createPasswordQueue(config, random);
    const secondFactors = createSecondFactors({ vault, clock, random });
    const mailer = createMailer(config, clock);
    const mails = createOutgoingMails({ database, mailer, vault, clock, random, log, metrics });
    const accounts = createAccounts({
      database,
      publish,
      vault,
      passwords,
      sessions,
      secondFactors,
      personKeys,
      mails,
      clock,
      random,
    });
    const recovery = createRecovery({ database, vault, passwords, sessions, mails, clock });
    const apiKeys = createApiKeys({ database, publish, clock, random, log });
    const people = createPeople({ database, publish, vault, sessions, clock });
    const enrolments = createEnrolments({ database, publish, clock });
    const devices = createDevices({ database, publish, vault, tokens, clock, random });
    return [
      serve(AuthService, {
        ...createAccountHandlers(accounts),
        ...createSessionHandlers(sessions),
        ...createKeyHandlers({ keys, issuer: config.issuer }),
      }),
      serve(ApiKeyService, createApiKeyHandlers(apiKeys)),
      serve(ServiceTokenService, createServiceTokenHandlers({ tokens, database, clock })),
      serve(PersonKeyService, createPersonKeyHandlers(personKeys)),
      serve(EnrolmentRecordService, createEnrolmentRecordHandlers(enrolments)),
      serve(CredentialService, { ...createRecoveryHandlers(recovery), ...createFactorHandlers(accounts) }),
      serve(AccountService, createAccountDataHandlers({ database, publish, personKeys, random, enrolments })),
      serve(ScopeService, createScopeHandlers(createScopes({ database, clock }))),
      serve(AuditService, createAuditHandlers(database)),
      serve(DeviceService, createDeviceHandlers(devices)),
      on(UserUpdatedSchema, (event, delivery) => people.rolesChanged(event, delivery)),
      on(UserStatusChangedSchema, (event, delivery) => people.statusChanged(event, delivery)),
      on(BranchCreatedSchema, (event, delivery) => copyBranch(database, event, delivery)),
      on(BranchUpdatedSchema, (event, delivery) => copyBranch(database, event, delivery)),
      on(FaceVectorCreatedSchema, (event, delivery) => enrolments.created(event, delivery)),
      on(FaceVectorErasedSchema, (event, delivery) => enrolments.erased(event, delivery)),
      background(apiKeys.useWriter),
      background(mails.sender),
      background(createPruning({ database, keys, clock, log })),
      readiness("signing key", () => keys.problem()),
      republisher([UserCreatedSchema], () => republishUsers({ database, publish, personKeys, random })),
    ];
  },
});
