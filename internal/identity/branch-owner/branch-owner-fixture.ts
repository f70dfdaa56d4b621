import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { Code, ConnectError, createRouterTransport, type Client, type Transport } from "@connectrpc/connect";
import { BadRequestSchema, ErrorInfoSchema } from "../../gen/google/rpc/error_details_pb.ts";
import type { Branch, BranchSchema } from "../../gen/muin/identity/v1/branch_pb.ts";
import { BranchService } from "../../gen/muin/identity/v1/branch_service_pb.ts";
import { OwnerService } from "../../gen/muin/identity/v1/owner_service_pb.ts";
import { PersonKeyService } from "../../gen/muin/identity/v1/person_key_service_pb.ts";
import {
  UserContactSchema,
  UserCreatedSchema,
  UserProfileSchema,
  UserStatusChangedSchema,
  UserUpdatedSchema,
  type UserCreated,
  type UserUpdated,
} from "../../gen/muin/identity/v1/user_events_pb.ts";
import type { UserStatus } from "../../gen/muin/identity/v1/user_pb.ts";
import type { ServiceInfo } from "../../platform/service/define-service.ts";
import { systemRandom } from "../../platform/clock/random.ts";
import type { Caller } from "../../platform/identity/caller.ts";
import { sealPersonal } from "../../shared/person/person-seal.ts";
import { startService, type TestService } from "../../platform/testing/service.ts";
import { branchOwner } from "./definition.ts";

/** branch-owner, and the keys of people that the test holds in its hand. */
export interface BranchOwnerFixture extends TestService {
  /** By person; `undefined` for a destroyed one. */
  readonly keys: Map<string, Uint8Array<ArrayBuffer> | undefined>;
  owners(caller: Caller): Client<typeof OwnerService>;
  branches(caller: Caller): Client<typeof BranchService>;
  /** Somebody signs up, and branch-owner hears of it. */
  signUp(displayName?: string): Promise<Person>;
  /** Somebody signs up and is made an owner. */
  newOwner(displayName?: string): Promise<Person>;
  /** A new branch of an owner. */
  newBranch(owner: Caller, branch?: MessageInitShape<typeof BranchSchema>): Promise<Branch>;
  /** UserCreated, UserUpdated and UserStatusChanged as auth and user publish them. */
  created(userId: string, displayName: string): UserCreated;
  updated(userId: string, displayName: string, version: bigint): UserUpdated;
  statusChanged(userId: string, status: UserStatus, version: bigint): Promise<void>;
}

/** A signed-in person. */
export type Person = Extract<Caller, { kind: "person" }>;

/** Runs the installation. */
export const administrator: Caller = {
  ...personOf("00000000-0000-7000-8000-000000000001"),
  scopes: new Set(["branches.read", "branches.manage"]),
};

/** Makes branch-owner. `info` is another definition of it. */
export async function startBranchOwner(
  options: {
    readonly info?: ServiceInfo;
    readonly config?: { readonly branchesPerOwnerMax?: number; readonly requestIdWindowMs?: number };
  } = {},
): Promise<BranchOwnerFixture> {
  const keys: BranchOwnerFixture["keys"] = new Map();
  const { info = branchOwner, config = {} } = options;
  const service = await startService(info, { config, calls: transportToAuth(keys) });
  const owners = (caller: Caller): Client<typeof OwnerService> => service.as(OwnerService, caller);
  const branches = (caller: Caller): Client<typeof BranchService> => service.as(BranchService, caller);
  const keyOf = (personId: string) => {
    const key = keys.get(personId) ?? systemRandom.bytes(32);
    keys.set(personId, key);
    return { personId, key };
  };
  const fixture: BranchOwnerFixture = {
    ...service,
    keys,
    owners,
    branches,
    created: (userId, displayName) => {
      const profile = sealPersonal(UserProfileSchema, { displayName }, keyOf(userId), systemRandom);
      return create(UserCreatedSchema, { userId, profile, aggregateVersion: 1n });
    },
    updated: (userId, displayName, aggregateVersion) => {
      const contact = sealPersonal(UserContactSchema, { displayName }, keyOf(userId), systemRandom);
      return create(UserUpdatedSchema, { userId, contact, aggregateVersion });
    },
    statusChanged: (userId, status, aggregateVersion) =>
      service.deliver(create(UserStatusChangedSchema, { userId, status, aggregateVersion })),
    signUp: async (displayName = "Somebody") => {
      const person = personOf(systemRandom.uuid());
      await service.deliver(fixture.created(person.id, displayName));
      return person;
    },
    newOwner: async (displayName) => {
      const person = await fixture.signUp(displayName);
      await owners(administrator).registerOwner({ owner: { userId: person.id, companyName: "Muscle & Co." } });
      return person;
    },
    newBranch: async (owner, branch = {}) => {
      const reply = await branches(owner).createBranch({
        branch: { displayName: "Gangnam", timeZone: "Asia/Seoul", ...branch },
      });
      if (reply.branch === undefined) throw new Error("a created branch is in the reply");
      return reply.branch;
    },
  };
  return fixture;
}

/** A person without scopes. */
export function personOf(id: string): Person {
  return { kind: "person", id, principal: `person:${id}`, scopes: new Set(), sessionId: `session of ${id}` };
}

/** An API key. */
export function apiKeyWith(...scopes: readonly string[]): Caller {
  const id = `key with ${scopes.join(" ")}`;
  return { kind: "api_key", id, principal: `api_key:${id}`, scopes: new Set(scopes) };
}

/** "ok", or the code and reason that a call was refused with. */
export async function outcomeOf(call: Promise<unknown>): Promise<string> {
  try {
    await call;
    return "ok";
  } catch (error) {
    const failure = ConnectError.from(error);
    return `${Code[failure.code]} ${failure.findDetails(ErrorInfoSchema)[0]?.reason ?? failure.rawMessage}`;
  }
}

/** What a call was refused for, as "field: description". */
export async function violationsOf(call: Promise<unknown>): Promise<readonly string[]> {
  try {
    await call;
    return [];
  } catch (error) {
    const [details] = ConnectError.from(error).findDetails(BadRequestSchema);
    return details?.fieldViolations.map(({ field, description }) => `${field}: ${description}`) ?? [String(error)];
  }
}

function transportToAuth(keys: BranchOwnerFixture["keys"]): Transport {
  return createRouterTransport(({ service }) => {
    service(PersonKeyService, {
      getPersonKeys: ({ personIds }) => ({
        personKeys: personIds.map((personId) => ({
          personId,
          key: keys.get(personId) ?? new Uint8Array(),
          destroyed: keys.has(personId) && keys.get(personId) === undefined,
        })),
      }),
    });
  });
}
