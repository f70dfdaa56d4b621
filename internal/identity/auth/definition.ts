import { FaceVectorCreatedSchema, FaceVectorErasedSchema } from "../../gen/muin/face/v1/enrolment_events_pb.ts";
import { AccountService } from "../../gen/muin/identity/v1/account_service_pb.ts";
import { ApiKeyService } from "../../gen/muin/identity/v1/api_key_service_pb.ts";
import { AuditService } from "../../gen/muin/identity/v1/audit_service_pb.ts";
import { AuthService } from "../../gen/muin/identity/v1/auth_service_pb.ts";
import { BranchCreatedSchema, BranchUpdatedSchema } from "../../gen/muin/identity/v1/branch_events_pb.ts";
import { CredentialService } from "../../gen/muin/identity/v1/credential_service_pb.ts";
import { DeviceService } from "../../gen/muin/identity/v1/device_service_pb.ts";
import { EnrolmentRecordService } from "../../gen/muin/identity/v1/enrolment_record_service_pb.ts";
import { EntryPassService } from "../../gen/muin/identity/v1/entry_pass_service_pb.ts";
import { PersonKeyService } from "../../gen/muin/identity/v1/person_key_service_pb.ts";
import { ScopeService } from "../../gen/muin/identity/v1/scope_service_pb.ts";
import { ServiceTokenService } from "../../gen/muin/identity/v1/service_token_service_pb.ts";
import {
  DeviceRevokedSchema,
  EntryPassRevokedSchema,
  ServiceWithdrawnSchema,
  SessionRevokedSchema,
} from "../../gen/muin/identity/v1/session_events_pb.ts";
import {
  UserCreatedSchema,
  UserStatusChangedSchema,
  UserUpdatedSchema,
} from "../../gen/muin/identity/v1/user_events_pb.ts";
import { createMailer } from "../../platform/mail/create-mailer.ts";
import { republishAll } from "../../platform/resource/republish.ts";
import { group } from "../../platform/service/consumption.ts";
import { defineService, type ServiceInfo } from "../../platform/service/define-service.ts";
import { background, on, readiness, republisher, serve, setup } from "../../platform/service/parts.ts";
import { postgres } from "../../platform/service/stores.ts";
import { createAccountHandlers, createLapseHandlers, createRecoveryHandlers } from "./account/handlers.ts";
import { createPasswordQueue } from "./account/password.ts";
import { createPeople } from "./account/person.ts";
import { createPasswordProofs } from "./account/proof.ts";
import { createRecovery } from "./account/recovery.ts";
import { republishAccounts } from "./account/republish.ts";
import { createAccounts } from "./account/rules.ts";
import { createSignIns } from "./account/sign-in.ts";
import { postgresAccountStore } from "./account/store-postgres.ts";
import { createApiKeyHandlers } from "./api-key/handlers.ts";
import { createApiKeys } from "./api-key/rules.ts";
import { postgresApiKeyStore } from "./api-key/store-postgres.ts";
import { createAuditHandlers } from "./audit/handlers.ts";
import { createAuditLog } from "./audit/rules.ts";
import { postgresAuditStore } from "./audit/store-postgres.ts";
import { createBootstrapHandlers } from "./bootstrap/handlers.ts";
import { createBootstrapSecrets } from "./bootstrap/rules.ts";
import { postgresBootstrapStore } from "./bootstrap/store-postgres.ts";
import { authConfig } from "./config.ts";
import { createActivation } from "./device/activation.ts";
import { copyBranch } from "./device/branch.ts";
import { createDeviceHandlers } from "./device/handlers.ts";
import { createDevices } from "./device/rules.ts";
import { postgresDeviceStore } from "./device/store-postgres.ts";
import { createEnrolmentRecordHandlers } from "./enrolment/handlers.ts";
import { createEnrolments } from "./enrolment/rules.ts";
import { postgresEnrolmentStore } from "./enrolment/store-postgres.ts";
import { createEntryPassHandlers } from "./entry-pass/handlers.ts";
import { createEntryPasses } from "./entry-pass/rules.ts";
import { postgresEntryPassStore } from "./entry-pass/store-postgres.ts";
import { authErrors } from "./errors.ts";
import { published } from "./events.ts";
import { createFactorHandlers } from "./factor/handlers.ts";
import { createFactors } from "./factor/rules.ts";
import { createSecondFactors } from "./factor/second-factor.ts";
import { postgresFactorStore } from "./factor/store-postgres.ts";
import { createLockout } from "./lockout/rules.ts";
import { postgresLockoutStore } from "./lockout/store-postgres.ts";
import { createOutgoingMails } from "./mail/rules.ts";
import { createMailSender } from "./mail/sender.ts";
import { postgresMailStore } from "./mail/store-postgres.ts";
import { migrations } from "./migrations.ts";
import { createInvitationHandlers, createNewcomerHandlers } from "./newcomer/handlers.ts";
import { createInvitations } from "./newcomer/invitations.ts";
import { createNewcomers } from "./newcomer/rules.ts";
import { postgresNewcomerStore } from "./newcomer/store-postgres.ts";
import { createPersonKeyHandlers } from "./person-key/handlers.ts";
import { createPersonKeys } from "./person-key/rules.ts";
import { postgresPersonKeyStore } from "./person-key/store-postgres.ts";
import { createNetworkQuotas } from "./quota/rules.ts";
import { postgresQuotaStore } from "./quota/store-postgres.ts";
import { createPruning } from "./retention/rules.ts";
import { createRevocationHandlers } from "./revocation/handlers.ts";
import { createLateRevocations } from "./revocation/rules.ts";
import { postgresRevocationStore } from "./revocation/store-postgres.ts";
import { createScopeHandlers } from "./scope/handlers.ts";
import { createScopes } from "./scope/rules.ts";
import { postgresScopeStore } from "./scope/store-postgres.ts";
import { createVault } from "./secret/vault.ts";
import { createPersonalData } from "./personal-data/rules.ts";
import { setupConfig, takeFirstSteps } from "./setup/first-steps.ts";
import { createAuthSetup } from "./setup/rules.ts";
import { createSessionHandlers } from "./session/handlers.ts";
import { createRefreshes } from "./session/refresh.ts";
import { createSessions } from "./session/rules.ts";
import { postgresSessionStore } from "./session/store-postgres.ts";
import { createKeyHandlers, createServiceTokenHandlers } from "./token/handlers.ts";
import { createTokenIssuer } from "./token/issuer.ts";
import { createServiceTokens } from "./token/rules.ts";
import { createSigningKeys } from "./token/signing-keys.ts";
import { postgresSigningKeyStore } from "./token/store-postgres.ts";

/** Where each noun keeps its rows, under the names by which the rules of other nouns ask for it. */
const stores = {
  accounts: postgresAccountStore,
  apiKeys: postgresApiKeyStore,
  audit: postgresAuditStore,
  devices: postgresDeviceStore,
  enrolments: postgresEnrolmentStore,
  entryPasses: postgresEntryPassStore,
  factors: postgresFactorStore,
  mailStore: postgresMailStore,
  newcomers: postgresNewcomerStore,
  revocations: postgresRevocationStore,
  scopes: postgresScopeStore,
  sessionStore: postgresSessionStore,
};

/** What ended before its time, as events tell it that can be told again. */
const revocationStates = [
  SessionRevokedSchema,
  DeviceRevokedSchema,
  ServiceWithdrawnSchema,
  EntryPassRevokedSchema,
] as const;

/** Accounts, sessions, tokens, API keys, entry passes and people's keys. */
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
    EntryPassService,
  ],
  calls: {},
  stores: { database: postgres({ database: "auth", migrations }) },
  publishes: published,
  republishes: [UserCreatedSchema, ...revocationStates],
  consumes: [
    group(UserUpdatedSchema),
    group(UserStatusChangedSchema),
    group(BranchCreatedSchema),
    group(BranchUpdatedSchema),
    group(FaceVectorCreatedSchema),
    group(FaceVectorErasedSchema),
  ],
  errors: authErrors.table,
  config: authConfig,
  setup: setupConfig,
  personalData: "held",
  create: ({ stores: { database }, publish, config, clock, random, log, metrics }) => {
    const vault = createVault(config.keyEncryptionSecret, random);
    const base = { database, ...stores, publish, vault, clock, random, log, metrics, config };
    const keys = createSigningKeys({ ...base, store: postgresSigningKeyStore });
    const tokens = createTokenIssuer({ keys, clock, random, config });
    const personKeys = createPersonKeys({ ...base, store: postgresPersonKeyStore });
    const sessions = createSessions({ ...base, store: postgresSessionStore, tokens });
    const refreshes = createRefreshes({ ...base, store: postgresSessionStore, sessions });
    const lockout = createLockout({ ...base, store: postgresLockoutStore });
    const quotas = createNetworkQuotas({ ...base, store: postgresQuotaStore });
    const passwords = createPasswordQueue(config, random, clock);
    const mails = createOutgoingMails({ ...base, store: postgresMailStore });
    const secondFactors = createSecondFactors({ ...base, store: postgresFactorStore });
    const guarded = { ...base, passwords, lockout, quotas, secondFactors, sessions, mails, personKeys };
    const proofs = createPasswordProofs(guarded);
    const accounts = createAccounts({ ...guarded, proofs });
    const newcomers = createNewcomers(guarded);
    const signIns = createSignIns(guarded);
    const recovery = createRecovery(guarded);
    const factors = createFactors({ ...guarded, store: postgresFactorStore, proofs });
    const personalData = createPersonalData({ ...base, sessions });
    const people = createPeople({ ...base, sessions, personalData });
    const apiKeys = createApiKeys({ ...base, store: postgresApiKeyStore });
    const enrolments = createEnrolments({ ...base, store: postgresEnrolmentStore });
    const devices = createDevices({ ...base, store: postgresDeviceStore });
    const activation = createActivation({ ...base, store: postgresDeviceStore, lockout, tokens });
    const entryPasses = createEntryPasses({ ...base, store: postgresEntryPassStore, tokens });
    const branches = { database, store: postgresDeviceStore };
    const republished = { ...base, personKeys };
    const revocations = createLateRevocations(base);
    return [
      serve(AuthService, {
        ...createNewcomerHandlers(newcomers),
        ...createAccountHandlers({ accounts, signIns }),
        ...createSessionHandlers({ sessions, refreshes }),
        ...createKeyHandlers({ keys, issuer: config.issuer }),
        ...createRevocationHandlers(revocations),
      }),
      serve(ApiKeyService, createApiKeyHandlers(apiKeys)),
      serve(ServiceTokenService, {
        ...createServiceTokenHandlers(createServiceTokens({ ...base, secrets: postgresBootstrapStore, tokens })),
        ...createBootstrapHandlers(createBootstrapSecrets({ ...base, store: postgresBootstrapStore, tokens })),
      }),
      serve(PersonKeyService, createPersonKeyHandlers(personKeys)),
      serve(EnrolmentRecordService, createEnrolmentRecordHandlers(enrolments)),
      serve(CredentialService, { ...createRecoveryHandlers(recovery), ...createFactorHandlers(factors) }),
      serve(AccountService, {
        ...createInvitationHandlers(newcomers, createInvitations(base)),
        ...createLapseHandlers(base),
      }),
      serve(ScopeService, createScopeHandlers(createScopes({ ...base, store: postgresScopeStore }))),
      serve(AuditService, createAuditHandlers(createAuditLog({ ...base, store: postgresAuditStore }))),
      serve(DeviceService, createDeviceHandlers({ devices, activation })),
      serve(EntryPassService, createEntryPassHandlers(entryPasses)),
      on(UserUpdatedSchema, (event, delivery) => people.rolesChanged(event, delivery)),
      on(UserStatusChangedSchema, (event, delivery) => people.statusChanged(event, delivery)),
      on(BranchCreatedSchema, (event, delivery) => copyBranch(branches, event, delivery)),
      on(BranchUpdatedSchema, (event, delivery) => copyBranch(branches, event, delivery)),
      on(FaceVectorCreatedSchema, (event, delivery) => enrolments.created(event, delivery)),
      on(FaceVectorErasedSchema, (event, delivery) => enrolments.erased(event, delivery)),
      background(apiKeys.useWriter),
      background(createMailSender({ ...base, store: postgresMailStore, mailer: createMailer(config, clock) })),
      background(
        createPruning({
          ...base,
          sessions: postgresSessionStore,
          lockout: postgresLockoutStore,
          quotas: postgresQuotaStore,
          mails: postgresMailStore,
          keys,
        }),
      ),
      readiness("signing key", () => keys.problem()),
      personalData,
      setup(setupConfig, (context) => takeFirstSteps(createAuthSetup(base), context, random)),
      republisher([UserCreatedSchema], () => republishAll((after) => republishAccounts(republished, after))),
      republisher(revocationStates, () => revocations.republish()),
    ];
  },
});
