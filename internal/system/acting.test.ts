import { expect, test } from "bun:test";
import { getOption, type DescMessage } from "@bufbuild/protobuf";
import { catalog } from "../catalog.ts";
import { CallerKind, policy as policyOption } from "../gen/muin/platform/v1/options_pb.ts";

/** Fields by which a request names a person, or something that belongs to one. */
const naming = new Set(["user_id", "owner_id", "member_id", "email", "session_id", "api_key_id", "enrolment_id"]);

/**
 * Every RPC that somebody calls and that names a person, or what belongs to one. "guarded" acts on the person: the caller needs every scope
 * that they hold, as the tables of `acting.test.ts` in auth and user try, each for every scope. The others say why they need not.
 */
const rpcs: Readonly<Record<string, string>> = {
  "AccessService.ListEntries": "reads",
  "AccessService.WatchEntries": "reads",
  "AccountService.InviteUser": "has no account yet, and begins as a member, who holds no scope",
  "ApiKeyService.RevokeApiKey": "guarded",
  "AuthService.RevokeSession": "one's own",
  "BranchService.AddStaff": "a standing in one branch: gives no scope",
  "BranchService.CreateBranch": "a standing in one branch: gives no scope",
  "BranchService.ListBranches": "reads",
  "BranchService.RemoveStaff": "a standing in one branch, which is its owner's to take",
  "BranchService.TransferBranch": "a standing in one branch: gives no scope",
  "BranchService.UpdateBranch": "a standing in one branch: gives no scope",
  "CredentialService.ResetTotp": "guarded",
  "EnrolmentRecordService.ListEnrolmentRecords": "reads",
  "EnrolmentService.AddEmbedding": "a face at doors: gives no scope",
  "EnrolmentService.EnrolFace": "a face at doors: gives no scope",
  "EnrolmentService.EraseFace": "a face at doors, which whoever manages the branch may take",
  "EnrolmentService.GetEnrolment": "reads",
  "EnrolmentService.GetFaceErasure": "reads",
  "EnrolmentService.ListEnrolments": "reads",
  "EnrolmentService.ReplaceFace": "a face at doors: gives no scope",
  "EntryPassService.IssueEntryPass": "a door, once: gives no scope",
  "OwnerService.GetOwner": "reads",
  "OwnerService.RegisterOwner": "a standing towards branches: gives no scope",
  "OwnerService.UpdateOwner": "what is said of a company",
  "ScopeService.GetScopes": "reads",
  "ScopeService.GrantScopes": "guarded",
  "ScopeService.RevokeScopes": "guarded",
  "UserService.AssignRole": "guarded",
  "UserService.DeleteUser": "guarded",
  "UserService.EndMembership": "guarded",
  "UserService.ExportUserData": "guarded",
  "UserService.GetPreferences": "one's own",
  "UserService.GetUser": "reads",
  "UserService.ListUsers": "reads",
  "UserService.PauseMembership": "guarded",
  "UserService.ReactivateUser": "guarded",
  "UserService.ResumeMembership": "guarded",
  "UserService.SetMembership": "guarded",
  "UserService.SuspendUser": "guarded",
  "UserService.UnassignRole": "guarded",
  "UserService.UpdatePreferences": "one's own",
  "UserService.UpdateUser": "guarded",
};

function namesPerson(message: DescMessage, depth = 2): boolean {
  return message.fields.some(
    (field) =>
      naming.has(field.name) || (depth > 0 && field.message !== undefined && namesPerson(field.message, depth - 1)),
  );
}

test("every RPC that names a person is known as one that acts on them, or as one that does not", () => {
  const found = catalog
    .flatMap(({ serves }) => serves)
    .flatMap(({ methods }) => methods)
    .filter((method) => {
      const { callers } = getOption(method, policyOption);
      const isForPeople = callers.includes(CallerKind.PERSON) || callers.includes(CallerKind.API_KEY);
      return isForPeople && namesPerson(method.input);
    })
    .map(({ parent, name }) => `${parent.name}.${name}`);
  expect(found.toSorted()).toEqual(Object.keys(rpcs).toSorted());
});
