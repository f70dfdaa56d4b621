import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { create } from "@bufbuild/protobuf";
import { join } from "node:path";
import { UserCreatedSchema, UserStatusChangedSchema } from "../../../gen/muin/identity/v1/user_events_pb.ts";
import { UserStatus } from "../../../gen/muin/identity/v1/user_pb.ts";
import { partsOf } from "../../../platform/service/parts.ts";
import { eventually } from "../../../platform/testing/eventually.ts";
import { caught, importMutant } from "../../../platform/testing/mutant.ts";
import type * as definition from "../definition.ts";
import { administrator, consent, newFace, outcomeOf, startMlops, type MlopsFixture } from "../mlops-fixture.ts";

setDefaultTimeout(30_000);

let service: MlopsFixture;
beforeAll(async () => {
  service = await startMlops();
});
afterAll(() => service[Symbol.asyncDispose]());

test("a person's copy tells their enrolments, and nothing of who has none", async () => {
  const enrolment = await service.enrol();
  const [held] = partsOf(service.parts, "personalData");
  const { signal } = new AbortController();
  const copy = await held?.exportOf(enrolment.memberId, signal);
  expect(copy).toMatchObject({ enrolments: [{ enrolmentId: enrolment.enrolmentId, embeddingCount: 1 }] });
  expect(await held?.exportOf("nobody", signal)).toBeUndefined();
});

/** A deleted person is enrolled nowhere, nothing tells of them, and the saga hears of it. */
async function checkDeletion(of: MlopsFixture): Promise<void> {
  const person = await of.signUp();
  const face = newFace();
  const branchId = await of.newBranch({ owner: person });
  const { modelId } = await of.newModel();
  const request = { branchIds: [branchId], modelId, memberId: person.id, embeddings: [face], consent };
  await of.enrolments(person).enrolFace({ ...request, requestId: "of-a-person" });
  await of.enrol({ memberId: person.id, requestId: "by-another" });
  const deleted = create(UserStatusChangedSchema, {
    userId: person.id,
    status: UserStatus.DELETED,
    aggregateVersion: 7n,
  });
  await of.deliver(deleted);
  await of.withBackground(() =>
    eventually(async () =>
      expect((await of.events()).at(-1)).toMatchObject({ userId: person.id, service: "mlops", aggregateVersion: 7n }),
    ),
  );
  const { enrolments } = await of.enrolments(administrator).listEnrolments({ memberId: person.id });
  expect(enrolments).toEqual([]);
  const tables = await of.database.sql<{ name: string }[]>`
    SELECT table_name AS name FROM information_schema.tables WHERE table_schema = 'public' AND table_name <> 'people'`;
  expect(tables.length).toBeGreaterThan(5);
  for (const { name } of tables) {
    const rows = await of.database.sql<{ text: string }[]>`SELECT t::text AS text FROM ${of.database.sql(name)} t`;
    // Whose a branch is, branch-owner tells. Binary values are shown in hex.
    const tells = (text: string): boolean =>
      text.includes(person.id) || text.includes(Buffer.from(person.id).toString("hex"));
    expect(rows.filter(({ text }) => name !== "branches" && tells(text))).toEqual([]);
  }
  // Nor does the news of them come back, or their face count as known.
  await of.deliver(create(UserCreatedSchema, { userId: person.id, aggregateVersion: 1n }));
  const again = of.enrolments(administrator).enrolFace({ ...request, requestId: "once-more" });
  expect(await outcomeOf(again)).toBe("NotFound USER_NOT_FOUND");
  const other = { ...request, memberId: (await of.signUp()).id };
  expect(await outcomeOf(of.enrolments(administrator).enrolFace(other))).toBe("ok");
}

test("a deleted person is enrolled nowhere, and nothing tells of them", () => checkDeletion(service));

test("who is deleted while they are enrolled is enrolled nowhere in the end", async () => {
  for (let round = 0; round < 5; round += 1) {
    const { id: memberId } = await service.signUp();
    const deleted = create(UserStatusChangedSchema, {
      userId: memberId,
      status: UserStatus.DELETED,
      aggregateVersion: 1n,
    });
    await Promise.all([outcomeOf(service.enrol({ memberId })), service.deliver(deleted)]);
    const { enrolments } = await service.enrolments(administrator).listEnrolments({ memberId });
    expect(enrolments).toEqual([]);
  }
});

test.each([
  ["that leaves the faces", "rules.ts", "await rules.begin(tx, userId);", ""],
  ["that keeps whose faces they were", "rules.ts", "await erasures.forgetMember(tx, userId);", ""],
  ["that keeps the replies", "../erasure/rules.ts", "await requests.forgetEnrolment(tx, enrolmentId);", ""],
])("a mutant is caught: %s", async (_, file, from, to) => {
  const { mlops } = await importMutant<typeof definition>(join(import.meta.dir, file), from, to, [
    join(import.meta.dir, "../definition.ts"),
  ]);
  await using mutant = await startMlops({ info: mlops });
  await caught(() => checkDeletion(mutant));
});
