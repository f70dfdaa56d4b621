import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { EnrolmentService } from "../gen/muin/face/v1/enrolment_service_pb.ts";
import { FaceModelService } from "../gen/muin/face/v1/face_model_service_pb.ts";
import { BranchService } from "../gen/muin/identity/v1/branch_service_pb.ts";
import { EnrolmentRecordService } from "../gen/muin/identity/v1/enrolment_record_service_pb.ts";
import { OwnerService } from "../gen/muin/identity/v1/owner_service_pb.ts";
import { eventually } from "../platform/testing/eventually.ts";
import { startMuin, type TestMuin } from "../platform/testing/muin.ts";

setDefaultTimeout(60_000);

let muin: TestMuin;
beforeAll(async () => {
  muin = await startMuin();
});
afterAll(() => muin[Symbol.asyncDispose]());

const dimensions = 64;
const model = { modelId: "arc", dimensions, threshold: 0.5, margin: 0.05, duplicateThreshold: 0.6 };
const consent = { textVersion: "2026-01", time: timestampFromMs(1_700_000_000_000) };

/** A face that is like none with another number. */
function faceOf(number: number): Uint8Array {
  return new Uint8Array(Float32Array.from({ length: dimensions }, (_, place) => (place === number ? 1 : 0)).buffer);
}

test("an owner enrols a member at their branch, auth records it, and the member reads it", async () => {
  const [owner, member] = await Promise.all(
    ["owner", "member"].map((name) =>
      muin.signUp({ email: `${name}@example.org`, password: "correct horse battery", displayName: name }),
    ),
  );
  if (owner === undefined || member === undefined) throw new Error("two people have signed up");
  await eventually(() => muin.client(OwnerService).registerOwner({ owner: { userId: owner.userId } }));
  const asOwner = owner.tokens.accessToken;
  const { branch } = await muin
    .client(BranchService, asOwner)
    .createBranch({ branch: { displayName: "Gangnam", timeZone: "Asia/Seoul" } });
  const branchId = branch?.branchId ?? "";
  await muin.client(FaceModelService).registerFaceModel({ faceModel: model });

  const request = { branchIds: [branchId], memberId: member.userId, modelId: "arc", consent, requestId: "enrolment-1" };
  const { enrolment } = await eventually(() =>
    muin.client(EnrolmentService, asOwner).enrolFace({ ...request, embeddings: [faceOf(1)] }),
  );
  const enrolmentId = enrolment?.enrolmentId ?? "";
  const asMember = member.tokens.accessToken;
  await eventually(async () => {
    const { enrolmentRecords } = await muin.client(EnrolmentRecordService, asMember).listEnrolmentRecords({});
    expect(enrolmentRecords).toMatchObject([
      { enrolmentId, userId: member.userId, branchIds: [branchId], modelId: "arc", consentTextVersion: "2026-01" },
    ]);
  });
  // Over REST as well: numbers of an embedding as base64.
  const response = await fetch(`${muin.http}/api/v1/enrolments/${enrolmentId}:addEmbedding`, {
    method: "POST",
    headers: { authorization: `Bearer ${asOwner}`, "content-type": "application/json" },
    body: JSON.stringify({ embedding: Buffer.from(faceOf(2)).toString("base64") }),
  });
  expect([response.status, ((await response.json()) as { enrolment?: object }).enrolment]).toEqual([
    200,
    expect.objectContaining({ enrolmentId, embeddingCount: 2 }) as object,
  ]);
  const own = await fetch(`${muin.http}/api/v1/enrolments`, { headers: { authorization: `Bearer ${asMember}` } });
  expect(await own.json()).toMatchObject({
    enrolments: [{ enrolmentId, memberId: member.userId, embeddingCount: 2 }],
  });
});
