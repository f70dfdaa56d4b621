/** Who may call a method, and with how much. What is not named is none. */
export interface PolicyRow {
  /** Kinds of callers; "anybody" is no kind: it needs no credentials. */
  readonly callers: string;
  /** Scopes that the caller must hold, all of them. */
  readonly scopes?: string;
  /** Scopes with one of which a caller may do more than for themself. */
  readonly wider?: string;
  /** Services that may call, which need no scope. */
  readonly services?: string;
  /** Whoever calls must sign. */
  readonly signed?: true;
  /** Largest request message where it is neither 16 KiB, for anybody, nor 1 MiB, for all others. */
  readonly bytes?: number;
}

/** Every service of Muin, as it is written here. */
const every = "auth user branch-owner count-management count-write count-read mlops access";

/**
 * Every RPC of Muin and who may call it, written out: whoever lets somebody call more, or less, changes a row by hand, and whoever
 * reads the change sees what it opens. The protos and the declarations must say the same.
 */
export const policyTable: Readonly<Record<string, PolicyRow>> = {
  "AuthService.SignUp": { callers: "anybody" },
  "AuthService.AcceptInvitation": { callers: "anybody" },
  "AuthService.SignIn": { callers: "anybody" },
  "AuthService.CompleteSignIn": { callers: "anybody" },
  "AuthService.RefreshToken": { callers: "anybody" },
  "AuthService.SignOut": { callers: "person" },
  "AuthService.ListSessions": { callers: "person" },
  "AuthService.RevokeSession": { callers: "person" },
  "AuthService.ChangePassword": { callers: "person" },
  "AuthService.ListKeys": { callers: "anybody", services: every },
  "AuthService.GetOpenIdConfiguration": { callers: "anybody" },
  "AuthService.ListRevocations": { callers: "service", services: every },

  "ApiKeyService.CreateApiKey": { callers: "person api_key", scopes: "keys.manage" },
  "ApiKeyService.ListApiKeys": { callers: "person api_key", scopes: "keys.manage" },
  "ApiKeyService.RevokeApiKey": { callers: "person api_key", scopes: "keys.manage" },
  "ApiKeyService.VerifyApiKey": { callers: "service", services: every },

  "ServiceTokenService.IssueServiceToken": { callers: "person api_key", scopes: "services.manage" },
  "ServiceTokenService.IssueBootstrapSecret": { callers: "person api_key", scopes: "services.manage" },
  "ServiceTokenService.ListBootstrapSecrets": { callers: "person api_key", scopes: "services.manage" },
  "ServiceTokenService.WithdrawService": { callers: "person api_key", scopes: "services.manage" },
  "ServiceTokenService.RenewServiceToken": { callers: "anybody" },

  "PersonKeyService.GetPersonKeys": { callers: "service", services: "user branch-owner" },
  "PersonKeyService.DestroyPersonKey": { callers: "service", services: "user" },

  "EnrolmentRecordService.ListEnrolmentRecords": { callers: "person api_key", wider: "users.read" },

  "CredentialService.GetCredentials": { callers: "person" },
  "CredentialService.SendEmailVerification": { callers: "person" },
  "CredentialService.VerifyEmail": { callers: "anybody" },
  "CredentialService.RequestPasswordReset": { callers: "anybody" },
  "CredentialService.ResetPassword": { callers: "anybody" },
  "CredentialService.BeginTotp": { callers: "person" },
  "CredentialService.ConfirmTotp": { callers: "person" },
  "CredentialService.DisableTotp": { callers: "person" },
  "CredentialService.ResetTotp": { callers: "person api_key", scopes: "scopes.manage users.manage" },

  "AccountService.InviteUser": { callers: "person api_key", scopes: "users.manage" },
  "AccountService.ListInvitations": { callers: "person api_key", scopes: "users.read" },
  "AccountService.WithdrawInvitation": { callers: "person api_key", scopes: "users.manage" },
  "AccountService.ListLapsedAccounts": { callers: "service", services: "user" },

  "ScopeService.ListScopes": { callers: "person api_key", scopes: "scopes.manage" },
  "ScopeService.GetScopes": { callers: "person api_key", scopes: "scopes.manage" },
  "ScopeService.GrantScopes": { callers: "person api_key", scopes: "scopes.manage" },
  "ScopeService.RevokeScopes": { callers: "person api_key", scopes: "scopes.manage" },
  "ScopeService.GetHeldScopes": { callers: "service", services: "user" },

  "AuditService.ListAuditEvents": { callers: "person api_key", wider: "audit.read" },

  "DeviceService.RegisterDevice": { callers: "person api_key", wider: "devices.manage" },
  "DeviceService.ActivateDevice": { callers: "anybody", signed: true },
  "DeviceService.IssueDeviceToken": { callers: "anybody", signed: true },
  "DeviceService.ListDevices": { callers: "person api_key", wider: "devices.manage" },
  "DeviceService.RevokeDevice": { callers: "person api_key", wider: "devices.manage" },

  "EntryPassService.IssueEntryPass": { callers: "person api_key", wider: "passes.manage" },
  "EntryPassService.RevokeEntryPass": { callers: "person api_key", wider: "passes.manage" },

  "UserService.GetUser": { callers: "person api_key", wider: "users.read" },
  "UserService.ListUsers": { callers: "person api_key", scopes: "users.read" },
  "UserService.UpdateUser": { callers: "person api_key", wider: "users.manage" },
  "UserService.GetPreferences": { callers: "person" },
  "UserService.UpdatePreferences": { callers: "person" },
  "UserService.AssignRole": { callers: "person api_key", scopes: "users.manage" },
  "UserService.UnassignRole": { callers: "person api_key", scopes: "users.manage" },
  "UserService.SetMembership": { callers: "person api_key", scopes: "users.manage" },
  "UserService.PauseMembership": { callers: "person api_key", scopes: "users.manage" },
  "UserService.ResumeMembership": { callers: "person api_key", scopes: "users.manage" },
  "UserService.EndMembership": { callers: "person api_key", scopes: "users.manage" },
  "UserService.SuspendUser": { callers: "person api_key", scopes: "users.manage" },
  "UserService.ReactivateUser": { callers: "person api_key", scopes: "users.manage" },
  "UserService.ExportUserData": { callers: "person api_key", wider: "users.manage audit.read" },
  "UserService.DeleteUser": { callers: "person api_key", wider: "users.manage" },
  "UserService.GetErasure": { callers: "anybody" },

  "OwnerService.RegisterOwner": { callers: "person api_key", scopes: "branches.manage" },
  "OwnerService.GetOwner": { callers: "person api_key", wider: "branches.manage branches.read" },
  "OwnerService.UpdateOwner": { callers: "person api_key", wider: "branches.manage" },
  "OwnerService.ListOwners": { callers: "person api_key", scopes: "branches.read" },

  "BranchService.CreateBranch": { callers: "person api_key", wider: "branches.manage" },
  "BranchService.GetBranch": { callers: "person api_key", wider: "branches.manage branches.read" },
  "BranchService.ListBranches": { callers: "person api_key", wider: "branches.manage branches.read" },
  "BranchService.UpdateBranch": { callers: "person api_key", wider: "branches.manage" },
  "BranchService.CloseBranch": { callers: "person api_key", wider: "branches.manage" },
  "BranchService.ReopenBranch": { callers: "person api_key", wider: "branches.manage" },
  "BranchService.TransferBranch": { callers: "person api_key", scopes: "branches.manage" },
  "BranchService.AddStaff": { callers: "person api_key", wider: "branches.manage" },
  "BranchService.RemoveStaff": { callers: "person api_key", wider: "branches.manage" },
  "BranchService.ListStaff": { callers: "person api_key", wider: "branches.manage branches.read" },
  "BranchService.GetOpenState": { callers: "person api_key", wider: "branches.manage branches.read" },
  "BranchService.ListOpenPeriods": { callers: "person api_key", wider: "branches.manage branches.read" },
  "BranchService.TryEntryRules": { callers: "person api_key", wider: "branches.manage branches.read" },

  "CountManagementService.CreateCount": { callers: "person api_key", scopes: "counts.manage" },
  "CountManagementService.BatchCreateCounts": {
    callers: "person api_key",
    scopes: "counts.manage",
    bytes: 5242880,
  },
  "CountManagementService.GetCountInfo": { callers: "person api_key", scopes: "counts.read" },
  "CountManagementService.UpdateCount": { callers: "person api_key", scopes: "counts.manage" },
  "CountManagementService.DeleteCount": { callers: "person api_key", scopes: "counts.manage" },
  "CountManagementService.UndeleteCount": { callers: "person api_key", scopes: "counts.manage" },
  "CountManagementService.ListCounts": { callers: "person api_key", scopes: "counts.read" },
  "CountManagementService.VerifyCounts": { callers: "person api_key", scopes: "counts.read" },

  "CountWriteService.Increment": { callers: "person api_key", scopes: "counts.write" },
  "CountWriteService.Decrement": { callers: "person api_key", scopes: "counts.write" },
  "CountWriteService.Set": { callers: "person api_key", scopes: "counts.write" },
  "CountWriteService.BatchWrite": { callers: "person api_key", scopes: "counts.write" },

  "CountImportService.StartImport": { callers: "person api_key", scopes: "counts.write" },
  "CountImportService.ImportBatch": { callers: "person api_key", scopes: "counts.write", bytes: 5242880 },
  "CountImportService.GetImport": { callers: "person api_key", scopes: "counts.read" },

  "CountReadService.GetCount": { callers: "person api_key", scopes: "counts.read" },
  "CountReadService.BatchGetCounts": { callers: "person api_key", scopes: "counts.read" },

  "AccessService.Identify": { callers: "device", signed: true, bytes: 16384 },
  "AccessService.Verify": { callers: "device", signed: true, bytes: 16384 },
  "AccessService.RedeemPass": { callers: "device", signed: true, bytes: 16384 },
  "AccessService.RecordExit": { callers: "device", signed: true, bytes: 16384 },
  "AccessService.GetEntry": { callers: "person api_key", wider: "entries.read" },
  "AccessService.ListEntries": { callers: "person api_key", wider: "entries.read" },
  "AccessService.WatchEntries": { callers: "person api_key", wider: "entries.read" },

  "FaceModelService.RegisterFaceModel": { callers: "person api_key", scopes: "faces.manage" },
  "FaceModelService.ListFaceModels": { callers: "person api_key", scopes: "faces.read" },
  "FaceModelService.CalibrateFaceModel": { callers: "person api_key", scopes: "faces.manage" },
  "FaceModelService.PromoteFaceModel": { callers: "person api_key", scopes: "faces.manage" },
  "FaceModelService.RollBackFaceModel": { callers: "person api_key", scopes: "faces.manage" },
  "FaceModelService.RenewTemplates": { callers: "person api_key", scopes: "faces.manage" },
  "FaceModelService.CheckFaces": { callers: "person api_key", scopes: "faces.manage" },

  "EnrolmentService.EnrolFace": { callers: "person api_key", wider: "faces.manage" },
  "EnrolmentService.AddEmbedding": { callers: "person api_key", wider: "faces.manage" },
  "EnrolmentService.ReplaceFace": { callers: "person api_key", wider: "faces.manage" },
  "EnrolmentService.EraseFace": { callers: "person api_key", wider: "faces.manage" },
  "EnrolmentService.GetFaceErasure": { callers: "person api_key", wider: "faces.read faces.manage" },
  "EnrolmentService.ListReceiptKeys": { callers: "anybody" },
  "EnrolmentService.GetEnrolment": { callers: "person api_key", wider: "faces.read faces.manage" },
  "EnrolmentService.ListEnrolments": { callers: "person api_key", wider: "faces.read faces.manage" },

  "OperationsService.GetStatus": { callers: "person api_key", scopes: "operations.read" },
  "OperationsService.ListDeadLetters": { callers: "person api_key", scopes: "operations.read" },
  "OperationsService.RedriveDeadLetters": { callers: "person api_key", scopes: "operations.manage" },
  "OperationsService.ListParkedEvents": { callers: "person api_key", scopes: "operations.read" },
  "OperationsService.RedriveParkedEvents": { callers: "person api_key", scopes: "operations.manage" },
  "OperationsService.RepublishEvents": { callers: "person api_key", scopes: "operations.manage" },
  "OperationsService.ReplayEvents": { callers: "person api_key", scopes: "operations.manage" },
  "OperationsService.RebuildConsumer": { callers: "person api_key", scopes: "operations.manage" },
  "OperationsService.TailEvents": { callers: "person api_key", scopes: "operations.read" },

  "PersonalDataService.ExportPersonalData": { callers: "service", services: "user" },
};

/** The words of a cell. */
export function wordsOf(cell: string | undefined): readonly string[] {
  return cell === undefined ? [] : cell.split(" ");
}

/** The services that may call each method that any may call, by method. */
export const servicesByMethod: Readonly<Record<string, readonly string[]>> = Object.fromEntries(
  Object.entries(policyTable).flatMap(([name, { services }]) =>
    services === undefined ? [] : [[name, wordsOf(services)]],
  ),
);
