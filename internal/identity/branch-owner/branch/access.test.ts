import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { getOption, type DescMethod } from "@bufbuild/protobuf";
import { MethodOptions_IdempotencyLevel } from "@bufbuild/protobuf/wkt";
import { StaffRole } from "../../../gen/muin/identity/v1/branch_pb.ts";
import { BranchService } from "../../../gen/muin/identity/v1/branch_service_pb.ts";
import { OwnerService } from "../../../gen/muin/identity/v1/owner_service_pb.ts";
import { UserStatus } from "../../../gen/muin/identity/v1/user_pb.ts";
import { CallerKind, policy } from "../../../gen/muin/platform/v1/options_pb.ts";
import { anonymous, type Caller } from "../../../platform/identity/caller.ts";
import { caught, importMutant } from "../../../platform/testing/mutant.ts";
import {
  administrator,
  apiKeyWith,
  outcomeOf,
  startBranchOwner,
  type BranchOwnerFixture,
  type Person,
} from "../branch-owner-fixture.ts";
import type * as definition from "../definition.ts";
import { branchOwner } from "../definition.ts";

setDefaultTimeout(30_000);

let service: BranchOwnerFixture;
beforeAll(async () => {
  service = await startBranchOwner();
});
afterAll(() => service[Symbol.asyncDispose]());

/** A branch with its people, and people who have nothing to do with it. */
interface Scene {
  readonly branchId: string;
  readonly people: Readonly<Record<"member" | "attendant" | "manager" | "owner" | "other owner", Person>>;
  /** Has signed up, to be made something of. */
  readonly newcomer: Person;
}
type Names = keyof Scene["people"] | (typeof others)[number];
/** Callers who are nobody's staff. */
const others = [
  "administrator",
  "reading key",
  "managing key",
  "key without scope",
  "service",
  "device",
  "anonymous",
] as const;
const callerNames: readonly Names[] = ["member", "attendant", "manager", "owner", "other owner", ...others];

async function createScene(of: BranchOwnerFixture): Promise<Scene> {
  const [member, attendant, manager, newcomer] = await Promise.all([
    of.signUp(),
    of.signUp(),
    of.signUp(),
    of.signUp(),
  ]);
  const [owner, other] = await Promise.all([of.newOwner(), of.newOwner()]);
  const { branchId } = await of.newBranch(owner);
  await of.newBranch(other);
  const branches = of.branches(owner);
  await branches.addStaff({ branchId, staffMember: { userId: manager.id, role: StaffRole.MANAGER } });
  await branches.addStaff({ branchId, staffMember: { userId: attendant.id, role: StaffRole.ATTENDANT } });
  return { branchId, newcomer, people: { member, attendant, manager, owner, "other owner": other } };
}

function callerOf(name: Names, { people, branchId }: Scene): Caller {
  switch (name) {
    case "administrator":
      return administrator;
    case "reading key":
      return apiKeyWith("branches.read");
    case "managing key":
      return apiKeyWith("branches.manage");
    case "key without scope":
      return apiKeyWith("counts.read");
    case "service":
      return { kind: "service", id: "access", principal: "service:access" };
    case "device":
      return {
        kind: "device",
        id: "door",
        principal: "device:door",
        branchIds: new Set([branchId]),
        key: undefined as never, // Not looked at.
      };
    case "anonymous":
      return anonymous;
    case "member":
    case "attendant":
    case "manager":
    case "owner":
    case "other owner":
      return people[name];
  }
}

/** A valid request of each RPC, about the scene's branch (or the one named) and its owner. */
type Call = (of: BranchOwnerFixture, caller: Caller, scene: Scene, branchId: string) => Promise<unknown>;
const seeing: readonly Names[] = ["attendant", "manager", "owner", "administrator", "reading key", "managing key"];
const changing: readonly Names[] = ["manager", "owner", "administrator", "managing key"];
const answering: readonly Names[] = ["owner", "administrator", "managing key"];
const managing: readonly Names[] = ["administrator", "managing key"];

const branchCalls: Readonly<Record<keyof typeof BranchService.method, readonly [readonly Names[], Call]>> = {
  createBranch: [
    answering,
    (of, caller, { people }) =>
      of.branches(caller).createBranch({
        branch: { displayName: "New", timeZone: "UTC", ownerId: people.owner.id },
      }),
  ],
  getBranch: [seeing, (of, caller, _, branchId) => of.branches(caller).getBranch({ branchId })],
  listBranches: [
    ["member", "attendant", "manager", "owner", "other owner", "administrator", "reading key", "managing key"],
    (of, caller) => of.branches(caller).listBranches({}),
  ],
  updateBranch: [
    changing,
    (of, caller, _, branchId) => of.branches(caller).updateBranch({ branch: { branchId, displayName: "Renamed" } }),
  ],
  closeBranch: [changing, (of, caller, _, branchId) => of.branches(caller).closeBranch({ branchId })],
  reopenBranch: [changing, (of, caller, _, branchId) => of.branches(caller).reopenBranch({ branchId })],
  transferBranch: [
    managing,
    (of, caller, { people }, branchId) =>
      of.branches(caller).transferBranch({ branchId, ownerId: people["other owner"].id }),
  ],
  addStaff: [
    answering,
    (of, caller, { newcomer }, branchId) =>
      of.branches(caller).addStaff({ branchId, staffMember: { userId: newcomer.id, role: StaffRole.ATTENDANT } }),
  ],
  removeStaff: [
    answering,
    (of, caller, { people }, branchId) => of.branches(caller).removeStaff({ branchId, userId: people.attendant.id }),
  ],
  listStaff: [
    ["manager", "owner", "administrator", "reading key", "managing key"],
    (of, caller, _, branchId) => of.branches(caller).listStaff({ branchId }),
  ],
  getOpenState: [seeing, (of, caller, _, branchId) => of.branches(caller).getOpenState({ branchId })],
  listOpenPeriods: [seeing, (of, caller, _, branchId) => of.branches(caller).listOpenPeriods({ branchId })],
  tryEntryRules: [seeing, (of, caller, _, branchId) => of.branches(caller).tryEntryRules({ branchId, plan: "gold" })],
};
const ownerCalls: Readonly<Record<keyof typeof OwnerService.method, readonly [readonly Names[], Call]>> = {
  registerOwner: [
    managing,
    (of, caller, { newcomer }) => of.owners(caller).registerOwner({ owner: { userId: newcomer.id } }),
  ],
  getOwner: [
    ["owner", "administrator", "reading key", "managing key"],
    (of, caller, { people }) => of.owners(caller).getOwner({ userId: people.owner.id }),
  ],
  updateOwner: [
    answering,
    (of, caller, { people }) =>
      of.owners(caller).updateOwner({ owner: { userId: people.owner.id, companyName: "Renamed" } }),
  ],
  listOwners: [["administrator", "reading key"], (of, caller) => of.owners(caller).listOwners({})],
};
const rows = (
  [
    [BranchService, branchCalls],
    [OwnerService, ownerCalls],
  ] as const
).flatMap(([service, calls]) =>
  Object.entries<readonly [readonly Names[], Call]>(calls).map(
    ([name, [allowed, call]]) => [methodOf(service, name), allowed, call] as const,
  ),
);
const cells = rows.flatMap(([method, allowed, call]) =>
  callerNames.map((name) => ({ rpc: method.name, method, name, isAllowed: allowed.includes(name), call })),
);

function methodOf({ methods }: { readonly methods: readonly DescMethod[] }, localName: string): DescMethod {
  const method = methods.find((each) => each.localName === localName);
  if (method === undefined) throw new Error(`there is no RPC ${localName}`);
  return method;
}

/** How a caller who may not is refused: by the policy of the proto if that says no already, else by the service. */
function refusalOf(method: DescMethod, caller: Caller): string {
  const { callers, scopes } = getOption(method, policy);
  if (caller.kind === "anonymous") return "Unauthenticated CREDENTIALS_MISSING";
  const kind = {
    person: CallerKind.PERSON,
    api_key: CallerKind.API_KEY,
    service: CallerKind.SERVICE,
    device: CallerKind.DEVICE,
  };
  if (!callers.includes(kind[caller.kind])) return "PermissionDenied CALLER_KIND";
  if ("scopes" in caller && scopes.some((scope) => !caller.scopes.has(scope))) return "PermissionDenied SCOPE_MISSING";
  return `PermissionDenied ${method.parent === OwnerService ? "OWNER_FORBIDDEN" : "BRANCH_FORBIDDEN"}`;
}

const scenes = new Map<BranchOwnerFixture, Promise<Scene>>();

/** A scene of its own for a cell that changes it; one for all others. */
function sceneFor(of: BranchOwnerFixture, { method, isAllowed }: (typeof cells)[number]): Promise<Scene> {
  if (isAllowed && method.idempotency !== MethodOptions_IdempotencyLevel.NO_SIDE_EFFECTS) return createScene(of);
  const scene = scenes.get(of) ?? createScene(of);
  scenes.set(of, scene);
  return scene;
}

async function checkCell(
  of: BranchOwnerFixture,
  scene: Scene,
  { method, name, isAllowed, call }: (typeof cells)[number],
) {
  const caller = callerOf(name, scene);
  const refusal = refusalOf(method, caller);
  // A member of staff who may not change it all the same finds no other branch, and learns nothing of it.
  const absent = await outcomeOf(call(of, caller, scene, "0199c5f2-6f0c-7aa0-8d6e-000000000000"));
  const seesAll = managing.includes(name) || name === "reading key";
  const isAbout = method.input.fields.some(({ name: field }) => field === "branch_id" || field === "branch");
  if (isAbout && method.name !== "CreateBranch") {
    expect({ absent }).toEqual({ absent: isAllowed && seesAll ? "NotFound BRANCH_NOT_FOUND" : refusal });
  } else {
    expect({ absent }).toEqual({ absent: isAllowed ? "ok" : refusal });
    return;
  }
  expect(await outcomeOf(call(of, caller, scene, scene.branchId))).toBe(isAllowed ? "ok" : refusal);
}

describe("who may call what", () => {
  test("is said of every RPC", () => {
    const methods = branchOwner.serves.flatMap(({ methods: of }) => of);
    expect(rows.map(([{ name }]) => name).toSorted()).toEqual(methods.map(({ name }) => name).toSorted());
    expect(cells.length).toBe(methods.length * callerNames.length);
  });

  test.each(cells)("$rpc by $name", async (cell) => {
    await checkCell(service, await sceneFor(service, cell), cell);
  });

  test("a list shows a person's own branches and those where they work, and no others", async () => {
    const scene = await createScene(service);
    const seen = async (name: Names): Promise<readonly string[]> => {
      // Who sees all is asked for the scene's, among many others.
      const ownerId = name === "reading key" ? scene.people.owner.id : "";
      const { branches } = await service.branches(callerOf(name, scene)).listBranches({ ownerId });
      return branches.map(({ branchId }) => branchId);
    };
    for (const name of ["owner", "manager", "attendant"] as const) expect(await seen(name)).toEqual([scene.branchId]);
    expect(await seen("member")).toEqual([]);
    expect(await seen("other owner")).not.toContain(scene.branchId);
    expect(await seen("reading key")).toContain(scene.branchId);
    // Naming the owner opens nothing.
    const asked = { ownerId: scene.people.owner.id };
    expect((await service.branches(scene.people["other owner"]).listBranches(asked)).branches).toEqual([]);
  });

  test("a member creates no branch of their own, and nobody one for somebody else", async () => {
    const { people } = await createScene(service);
    const branch = { displayName: "Mine", timeZone: "UTC" };
    expect(await outcomeOf(service.branches(people.member).createBranch({ branch }))).toBe(
      "PermissionDenied NOT_AN_OWNER",
    );
    expect(
      await outcomeOf(
        service.branches(people.owner).createBranch({ branch: { ...branch, ownerId: people["other owner"].id } }),
      ),
    ).toBe("PermissionDenied BRANCH_FORBIDDEN");
    expect(
      await outcomeOf(
        service.branches(administrator).createBranch({ branch: { ...branch, ownerId: people.member.id } }),
      ),
    ).toBe("FailedPrecondition OWNER_MISSING");
    expect(await outcomeOf(service.branches(apiKeyWith("branches.manage")).createBranch({ branch }))).toBe(
      "InvalidArgument FIELD_INVALID",
    );
  });
});

describe("a suspended person", () => {
  test("can do nothing, until they are active again", async () => {
    const scene = await createScene(service);
    for (const name of ["owner", "manager"] as const) {
      const person = scene.people[name];
      const mine = cells.filter((cell) => cell.name === name && cell.isAllowed);
      expect(mine.length).toBeGreaterThan(5);
      await service.statusChanged(person.id, UserStatus.SUSPENDED, 1n);
      for (const { rpc, call } of mine) {
        const outcome = await outcomeOf(call(service, person, scene, scene.branchId));
        expect([rpc, outcome]).toEqual([rpc, "PermissionDenied ACCOUNT_SUSPENDED"]);
      }
      await service.statusChanged(person.id, UserStatus.ACTIVE, 2n);
      expect(await outcomeOf(service.branches(person).getBranch({ branchId: scene.branchId }))).toBe("ok");
    }
  });
});

const pathOf = (name: string): string => join(import.meta.dir, name);

describe("a mutant is caught", () => {
  test.each([
    ["that lets every owner in", "branch.ownerId === personIdOf(caller)", 'personIdOf(caller) !== ""'],
    ["that lets staff in as managers", 'standing.staffRole === "MANAGER" ? "manager" : "attendant"', '"manager"'],
    ["that lets readers change", 'change: ["administrator",', 'change: ["administrator", "reader",'],
    [
      "that lets managers change staff",
      '"change staff": ["administrator",',
      '"change staff": ["administrator", "manager",',
    ],
  ])("%s", async (_, from, to) => {
    const { branchOwner: broken } = await importMutant<typeof definition>(pathOf("access.ts"), from, to, [
      pathOf("../definition.ts"),
    ]);
    await using mutant = await startBranchOwner({ info: broken });
    await caught(async () => {
      for (const cell of cells) await checkCell(mutant, await sceneFor(mutant, cell), cell);
    });
  });

  test("that says of what does not exist that it does not", async () => {
    const { branchOwner: broken } = await importMutant<typeof definition>(
      pathOf("access.ts"),
      '  if (isBarred(standing.status)) return refuse("accountSuspended");\n',
      '  if (branch === undefined) return refuse("branchNotFound", { branch_id: branchId });\n',
      [pathOf("../definition.ts")],
    );
    await using mutant = await startBranchOwner({ info: broken });
    await caught(async () => {
      for (const cell of cells) await checkCell(mutant, await sceneFor(mutant, cell), cell);
    });
  });
});
