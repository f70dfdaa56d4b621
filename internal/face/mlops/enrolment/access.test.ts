import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { UserStatusChangedSchema } from "../../../gen/muin/identity/v1/user_events_pb.ts";
import { UserStatus } from "../../../gen/muin/identity/v1/user_pb.ts";
import { anonymous, type Caller } from "../../../platform/identity/caller.ts";
import { caught, importMutant } from "../../../platform/testing/mutant.ts";
import type * as definition from "../definition.ts";
import {
  administrator,
  apiKeyWith,
  consent,
  newFace,
  outcomeOf,
  startMlops,
  type MlopsFixture,
  type Person,
} from "../mlops-fixture.ts";

setDefaultTimeout(30_000);

let service: MlopsFixture;
beforeAll(async () => {
  service = await startMlops();
});
afterAll(() => service[Symbol.asyncDispose]());

/** An enrolment at two branches, and people who have to do with one of them, both or none. */
interface Scene {
  readonly enrolmentId: string;
  readonly modelId: string;
  readonly branchIds: readonly string[];
  readonly people: Readonly<
    Record<"member" | "other member" | "owner" | "owner of one" | "manager" | "manager of one", Person>
  >;
}
const others = ["administrator", "managing key", "reading key", "key without scope", "service", "anonymous"] as const;
type Name = keyof Scene["people"] | (typeof others)[number];

async function createScene(of: MlopsFixture): Promise<Scene> {
  const [member, otherMember, owner, ownerOfOne, manager, managerOfOne] = await Promise.all(
    Array.from({ length: 6 }, () => of.signUp()) as [
      Promise<Person>,
      Promise<Person>,
      Promise<Person>,
      Promise<Person>,
      Promise<Person>,
      Promise<Person>,
    ],
  );
  const branchIds = await Promise.all([
    of.newBranch({ owner, managers: [manager, managerOfOne, ownerOfOne] }),
    of.newBranch({ owner, managers: [manager] }),
  ]);
  await of.newBranch({ owner: ownerOfOne, managers: [managerOfOne] });
  const { enrolmentId, modelId } = await of.enrol({ branchIds: [...branchIds], memberId: member.id });
  return {
    enrolmentId,
    modelId,
    branchIds,
    people: {
      member,
      "other member": otherMember,
      owner,
      "owner of one": ownerOfOne,
      manager,
      "manager of one": managerOfOne,
    },
  };
}

function callerOf(name: Name, { people }: Scene): Caller {
  switch (name) {
    case "administrator":
      return administrator;
    case "managing key":
      return apiKeyWith("faces.manage");
    case "reading key":
      return apiKeyWith("faces.read");
    case "key without scope":
      return apiKeyWith("counts.read");
    case "service":
      return { kind: "service", id: "access", principal: "service:access" };
    case "anonymous":
      return anonymous;
    case "member":
    case "other member":
    case "owner":
    case "owner of one":
    case "manager":
    case "manager of one":
      return people[name];
  }
}

const all: readonly Name[] = [
  "member",
  "other member",
  "owner",
  "owner of one",
  "manager",
  "manager of one",
  ...others,
];
const changing: readonly Name[] = ["owner", "manager", "administrator", "managing key"];
const reading: readonly Name[] = [...changing, "member", "reading key"];
const seesAll: readonly Name[] = ["administrator", "managing key", "reading key"];

type Call = (of: MlopsFixture, caller: Caller, scene: Scene, enrolmentId: string) => Promise<unknown>;
const calls: Readonly<Record<string, readonly [readonly Name[], Call]>> = {
  getEnrolment: [reading, (of, caller, _, enrolmentId) => of.enrolments(caller).getEnrolment({ enrolmentId })],
  addEmbedding: [
    changing,
    (of, caller, _, enrolmentId) => of.enrolments(caller).addEmbedding({ enrolmentId, embedding: newFace() }),
  ],
  replaceFace: [
    changing,
    (of, caller, _, enrolmentId) => of.enrolments(caller).replaceFace({ enrolmentId, embeddings: [newFace()] }),
  ],
};
const cells = Object.entries(calls).flatMap(([rpc, [allowed, call]]) =>
  all.map((name) => ({ rpc, name, isAllowed: allowed.includes(name), call })),
);

function refusalOf(caller: Caller): string {
  if (caller.kind === "anonymous") return "Unauthenticated CREDENTIALS_MISSING";
  return `PermissionDenied ${caller.kind === "service" ? "CALLER_KIND" : "ENROLMENT_FORBIDDEN"}`;
}

async function checkCell(of: MlopsFixture, scene: Scene, { rpc, name, isAllowed, call }: (typeof cells)[number]) {
  const caller = callerOf(name, scene);
  const refusal = refusalOf(caller);
  const outcome = await outcomeOf(call(of, caller, scene, scene.enrolmentId));
  expect([rpc, name, outcome]).toEqual([rpc, name, isAllowed ? "ok" : refusal]);
  // That there is no such enrolment is told to none but those who see all.
  const absent = await outcomeOf(call(of, caller, scene, "none"));
  const isTold = isAllowed && seesAll.includes(name);
  expect([rpc, name, absent]).toEqual([rpc, name, isTold ? "NotFound ENROLMENT_NOT_FOUND" : refusal]);
}

let scene: Promise<Scene> | undefined;
const sharedScene = (): Promise<Scene> => (scene ??= createScene(service));

describe("who may do what with an enrolment", () => {
  test.each(cells)("$rpc by $name", async (cell) => checkCell(service, await sharedScene(), cell));

  test.each(all.map((name) => [name] as const))("enrolFace by %s", async (name) => {
    const { branchIds, modelId, ...others } = await sharedScene();
    const caller = callerOf(name, { branchIds, modelId, ...others });
    const memberId = (await service.signUp()).id;
    const enrol = (at: readonly string[]) =>
      outcomeOf(
        service
          .enrolments(caller)
          .enrolFace({ branchIds: [...at], modelId, memberId, embeddings: [newFace()], consent }),
      );
    const may = changing.includes(name);
    const managesAll = may && seesAll.includes(name);
    const refusal = refusalOf(caller);
    expect(await enrol(["nowhere"])).toBe(managesAll ? "NotFound BRANCH_NOT_FOUND" : refusal);
    expect(await enrol([await service.newBranch(), ...branchIds])).toBe(managesAll ? "ok" : refusal);
    if (!managesAll) expect(await enrol(branchIds)).toBe(may ? "ok" : refusal);
  });

  test("a list shows what may be read, and naming others opens nothing", async () => {
    const own = await createScene(service);
    const [first = "", second = ""] = own.branchIds;
    const list = async (name: Name, asked: { branchId?: string; memberId?: string } = {}): Promise<unknown> => {
      const listing = service.enrolments(callerOf(name, own)).listEnrolments({ pageSize: 1000, ...asked });
      const outcome = await outcomeOf(listing);
      if (outcome !== "ok") return outcome;
      return (await listing).enrolments.map(({ enrolmentId }) => enrolmentId);
    };
    const shown = [own.enrolmentId];
    const { id: memberId } = own.people.member;
    for (const name of ["member", "owner", "manager"] as const) expect([name, await list(name)]).toEqual([name, shown]);
    for (const name of ["other member", "owner of one", "manager of one"] as const) {
      expect([name, await list(name)]).toEqual([name, []]);
    }
    for (const name of seesAll) expect(await list(name, { branchId: first })).toEqual(shown);
    expect(await list("key without scope")).toBe("PermissionDenied ENROLMENT_FORBIDDEN");
    // By branch: nobody sees what is at another's branch too.
    expect(await list("owner", { branchId: second })).toEqual(shown);
    expect(await list("manager of one", { branchId: first })).toEqual([]);
    expect(await list("manager of one", { branchId: second, memberId })).toBe("PermissionDenied ENROLMENT_FORBIDDEN");
    // By person.
    expect(await list("member", { memberId })).toEqual(shown);
    expect(await list("manager", { memberId })).toEqual(shown);
    expect(await list("other member", { memberId })).toBe("PermissionDenied ENROLMENT_FORBIDDEN");
  });

  test("who is suspended can do nothing, until they are active again", async () => {
    const own = await createScene(service);
    const { owner } = own.people;
    const status = (to: UserStatus, aggregateVersion: bigint) =>
      service.deliver(create(UserStatusChangedSchema, { userId: owner.id, status: to, aggregateVersion }));
    const mine = cells.filter(({ name }) => name === "owner");
    const suspended = "PermissionDenied ACCOUNT_SUSPENDED";
    await status(UserStatus.SUSPENDED, 1n);
    for (const { call } of mine) {
      expect(await outcomeOf(call(service, owner, own, own.enrolmentId))).toBe(suspended);
    }
    expect(await outcomeOf(service.enrolments(owner).listEnrolments({}))).toBe(suspended);
    await status(UserStatus.ACTIVE, 2n);
    expect(await outcomeOf(service.enrolments(owner).getEnrolment({ enrolmentId: own.enrolmentId }))).toBe("ok");
  });
});

test.each([
  ["that lets who manages one of the branches", "branchIds.every((branchId)", "branchIds.some((branchId)"],
  [
    "that lets people change their own",
    "managesAllFaces(caller) || isManager",
    'personIdOf(caller) !== "" || isManager',
  ],
  ["that lets readers change", "const may = managesAllFaces(caller) ||", "const may = seesAllFaces(caller) ||"],
])("a mutant is caught: %s", async (_, from, to) => {
  const { mlops } = await importMutant<typeof definition>(join(import.meta.dir, "access.ts"), from, to, [
    join(import.meta.dir, "../definition.ts"),
  ]);
  await using mutant = await startMlops({ info: mlops });
  const own = await createScene(mutant);
  await caught(async () => {
    for (const cell of cells) await checkCell(mutant, own, cell);
  });
});
