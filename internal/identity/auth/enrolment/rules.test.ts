import { describe, expect, test } from "bun:test";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  FaceEnrolmentRecordedSchema,
  FaceVectorCreatedSchema,
  FaceVectorErasedSchema,
} from "../../../gen/muin/face/v1/enrolment_events_pb.ts";
import { BranchCreatedSchema, BranchUpdatedSchema } from "../../../gen/muin/identity/v1/branch_events_pb.ts";
import { EnrolmentRecordService } from "../../../gen/muin/identity/v1/enrolment_record_service_pb.ts";
import type { Caller } from "../../../platform/identity/caller.ts";
import type { ServiceInfo } from "../../../platform/service/define-service.ts";
import { mutantOf, outcomeOf, personOfToken, startAuth } from "../auth-fixture.ts";
import { auth as real } from "../definition.ts";

const password = "correct horse battery";
const consent = { textVersion: "2026-01", time: timestampFromMs(1000) };
const reader: Caller = { kind: "api_key", id: "k", principal: "api_key:k", scopes: new Set(["users.read"]) };

describe("enrolments", () => {
  test("are recorded with model and consent, told, and seen by the person and by who may read people", async () => {
    await using auth = await startAuth();
    const { userId, tokens } = await auth.signUp({ email: "ada@example.org", password });
    const { userId: bob } = await auth.signUp({ email: "bob@example.org", password });
    const created = {
      enrolmentId: "e1",
      memberId: userId,
      branchIds: ["b1", "b2"],
      modelId: "arc-1",
      consent,
      aggregateVersion: 1n,
      time: timestampFromMs(2000),
    };
    await auth.deliver(FaceVectorCreatedSchema, { ...created, enrolmentId: "e0", memberId: bob });
    await auth.deliver(FaceVectorCreatedSchema, created);
    const replaced = await auth.deliver(FaceVectorCreatedSchema, {
      ...created,
      modelId: "arc-2",
      aggregateVersion: 2n,
    });
    // Repeats and older events change nothing, and nothing is recorded of nobody.
    await auth.deliver(FaceVectorCreatedSchema, { ...created, modelId: "arc-3", aggregateVersion: 2n }, replaced);
    await auth.deliver(FaceVectorCreatedSchema, created);
    await auth.deliver(FaceVectorCreatedSchema, { ...created, enrolmentId: "e9", memberId: "nobody" });

    const mine = auth.as(EnrolmentRecordService, { caller: personOfToken(tokens?.accessToken ?? "") });
    const record = {
      enrolmentId: "e1",
      userId,
      branchIds: ["b1", "b2"],
      modelId: "arc-2",
      consentTextVersion: "2026-01",
      consentTime: timestampFromMs(1000),
      enrolTime: timestampFromMs(2000),
    };
    expect((await mine.listEnrolmentRecords({})).enrolmentRecords).toMatchObject([record]);
    await auth.deliver(FaceVectorErasedSchema, {
      enrolmentId: "e1",
      memberId: userId,
      aggregateVersion: 3n,
      time: timestampFromMs(3000),
    });
    const others = auth.as(EnrolmentRecordService, { caller: reader });
    expect((await others.listEnrolmentRecords({ userId })).enrolmentRecords).toMatchObject([
      { ...record, eraseTime: timestampFromMs(3000) },
    ]);
    expect(
      (await auth.events()).filter((event) => event.$typeName === FaceEnrolmentRecordedSchema.typeName),
    ).toMatchObject([
      { enrolmentId: "e0", memberId: bob, aggregateVersion: 1n },
      { enrolmentId: "e1", memberId: userId, modelId: "arc-1", consent, erased: false, aggregateVersion: 1n },
      { enrolmentId: "e1", memberId: userId, modelId: "arc-2", consent, erased: false, aggregateVersion: 2n },
      { enrolmentId: "e1", memberId: userId, modelId: "arc-2", consent, erased: true, aggregateVersion: 3n },
    ]);

    const notYours = "PermissionDenied NOT_YOURS";
    expect(await outcomeOf(mine.listEnrolmentRecords({ userId: bob }))).toBe(notYours);
    expect(await outcomeOf(mine.listEnrolmentRecords({ userId: "nobody" }))).toBe(notYours);
    expect(await outcomeOf(others.listEnrolmentRecords({}))).toBe("InvalidArgument FIELD_INVALID");
    expect((await others.listEnrolmentRecords({ userId: "nobody" })).enrolmentRecords).toEqual([]);
  });

  test("come in pages, and an erasure that comes first is kept against the older creation", async () => {
    await using auth = await startAuth();
    const { userId } = await auth.signUp({ email: "ada@example.org", password });
    const one = { memberId: userId, aggregateVersion: 1n };
    for (const enrolmentId of ["e3", "e1", "e2"]) await auth.deliver(FaceVectorCreatedSchema, { ...one, enrolmentId });
    await auth.deliver(FaceVectorErasedSchema, { ...one, enrolmentId: "e4", aggregateVersion: 2n });
    await auth.deliver(FaceVectorCreatedSchema, { ...one, enrolmentId: "e4" });
    const records = auth.as(EnrolmentRecordService, { caller: reader });
    const first = await records.listEnrolmentRecords({ userId, pageSize: 3 });
    const second = await records.listEnrolmentRecords({ userId, pageSize: 3, pageToken: first.nextPageToken });
    expect(first.enrolmentRecords.map((record) => record.enrolmentId)).toEqual(["e1", "e2", "e3"]);
    expect(second).toMatchObject({ enrolmentRecords: [{ enrolmentId: "e4", modelId: "" }], nextPageToken: "" });
    expect(second.enrolmentRecords[0]?.eraseTime).toBeDefined();
  });
});

test("branches and whose they are come from branch-owner; an older event changes nothing", async () => {
  await using auth = await startAuth();
  const told = (schema: typeof BranchCreatedSchema | typeof BranchUpdatedSchema, ownerId: string, version: bigint) =>
    auth.deliver<typeof BranchCreatedSchema | typeof BranchUpdatedSchema>(schema, {
      branchId: "b1",
      branch: { branchId: "b1", ownerId },
      aggregateVersion: version,
    });
  await told(BranchCreatedSchema, "ada", 1n);
  await told(BranchUpdatedSchema, "bob", 3n);
  await told(BranchUpdatedSchema, "cem", 2n);
  await told(BranchCreatedSchema, "ada", 1n);
  const rows = await auth.database.sql`SELECT branch_id, owner_id, version FROM branches`;
  expect([...rows]).toEqual([{ branch_id: "b1", owner_id: "bob", version: "3" }]);
});

/** What is kept when the newer event comes before the older. */
async function outcome(definition: ServiceInfo): Promise<unknown> {
  await using auth = await startAuth({ definition });
  const { userId } = await auth.signUp({ email: "ada@example.org", password });
  for (const [ownerId, aggregateVersion] of [
    ["newer", 2n],
    ["older", 1n],
  ] as const) {
    await auth.deliver(BranchUpdatedSchema, { branchId: "b1", branch: { ownerId }, aggregateVersion });
    const face = { enrolmentId: "e1", memberId: userId, modelId: ownerId, aggregateVersion };
    await auth.deliver(FaceVectorCreatedSchema, face);
  }
  const [row] = await auth.database.sql<{ owner: string; model: string }[]>`
    SELECT (SELECT owner_id FROM branches) AS owner, model_id AS model FROM enrolments`;
  return row;
}

test("mutant: without its version an older event of a branch, or of an enrolment, wins", async () => {
  const branches = await mutantOf(
    "device/store-postgres.ts",
    "WHERE (b.epoch, b.version) < (excluded.epoch, excluded.version)",
    "",
  );
  const enrolled = await mutantOf(
    "enrolment/store-postgres.ts",
    "erase_time = NULL,\n        epoch = excluded.epoch, version = excluded.version\n      WHERE (e.epoch, e.version) < (excluded.epoch, excluded.version)",
    "erase_time = NULL,\n        epoch = excluded.epoch, version = excluded.version",
  );
  expect(await outcome(real)).toEqual({ owner: "newer", model: "newer" });
  expect(await outcome(branches)).toEqual({ owner: "older", model: "newer" });
  expect(await outcome(enrolled)).toEqual({ owner: "newer", model: "older" });
});
