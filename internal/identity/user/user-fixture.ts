import { join } from "node:path";
import { create, isMessage } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, createRouterTransport, type Client, type Transport } from "@connectrpc/connect";
import { ErrorInfoSchema } from "../../gen/google/rpc/error_details_pb.ts";
import { AccountService } from "../../gen/muin/identity/v1/account_service_pb.ts";
import { PersonKeyService } from "../../gen/muin/identity/v1/person_key_service_pb.ts";
import { ScopeService } from "../../gen/muin/identity/v1/scope_service_pb.ts";
import {
  UserCreatedSchema,
  UserDataErasedSchema,
  UserProfileSchema,
  UserStatusChangedSchema,
  UserUpdatedSchema,
  type UserCreated,
} from "../../gen/muin/identity/v1/user_events_pb.ts";
import { UserService } from "../../gen/muin/identity/v1/user_service_pb.ts";
import type { PersonalDataHolders, ServiceInfo } from "../../platform/service/define-service.ts";
import { systemClock } from "../../platform/clock/clock.ts";
import { systemRandom } from "../../platform/clock/random.ts";
import { scopes } from "../../gen/scopes.ts";
import type { Caller } from "../../platform/identity/caller.ts";
import { sealPersonal, type PersonKey } from "../../shared/person/person-seal.ts";
import { importMutant } from "../../platform/testing/mutant.ts";
import { startService, type TestService } from "../../platform/testing/service.ts";
import { user } from "./definition.ts";
import { statusNames } from "./person/person.ts";

/** User on a PostgreSQL database of its own, and an auth that the test holds in its hand. */
export interface UserFixture extends Omit<TestService, "as" | "again"> {
  readonly auth: HeldAuth;
  /** Calls as somebody. */
  as(caller: Caller): Client<typeof UserService>;
  /** The same service started once more. */
  again(): Pick<UserFixture, "as" | "parts">;
  /** Somebody signs up; resolves once user has heard of it. Returns the person who calls, who holds `scopes`. */
  signUp(options?: SignUpOptions): Promise<Person>;
  /** Another service says that it has erased what it held. */
  erased(userId: string, service: string): Promise<void>;
}

type Person = Extract<Caller, { kind: "person" }>;

/** How somebody signs up. */
export interface SignUpOptions {
  readonly email?: string;
  readonly displayName?: string;
  readonly roles?: readonly string[];
  readonly scopes?: readonly string[];
}

/** An auth that has keys and little else. */
export interface HeldAuth {
  /** By person: `undefined` for a destroyed one. */
  readonly keys: Map<string, Uint8Array<ArrayBuffer> | undefined>;
  /** By person, the scopes that auth says they hold; nobody holds any unless the test says so. */
  readonly held: Map<string, readonly string[]>;
  /** People whose accounts are to go. */
  readonly lapsed: string[];
  /** While true, every call is UNAVAILABLE. */
  away: boolean;
  /** Ids of people whose key was destroyed, as often as it was asked for. */
  readonly destroyed: string[];
  /** Somebody who has a key from now on. */
  newcomer(): PersonKey;
  /** UserCreated of somebody who has a key. */
  created(person: PersonKey, options?: SignUpOptions & { readonly version?: bigint }): UserCreated;
}

/** Makes user with its schema migrated, without background work. `from` is another definition of it. */
export async function startUser(options: { readonly from?: ServiceInfo } = {}): Promise<UserFixture> {
  const auth = holdAuth();
  const service = await startService(options.from ?? user, {
    calls: transportOf(auth),
    personalData: holdersOf(auth),
    config: { erasureSweepMs: 50 },
  });
  return {
    ...service,
    auth,
    as: (caller) => service.as(UserService, caller),
    again: () => {
      const other = service.again();
      return { parts: other.parts, as: (caller) => other.as(UserService, caller) };
    },
    signUp: async (how = {}) => {
      const person = auth.newcomer();
      await service.deliver(auth.created(person, how));
      return personOf(person.personId, how.scopes);
    },
    erased: (userId, name) =>
      service.deliver(
        create(UserDataErasedSchema, { userId, service: name, aggregateVersion: 2n, time: timestampFromMs(1) }),
      ),
  };
}

/** User with one rule broken, which stands in the file `name` of its folder. */
export async function startMutant(name: string, from: string, to: string): Promise<UserFixture> {
  const [path, entry] = [join(import.meta.dir, name), join(import.meta.dir, "definition.ts")];
  const mutant = await importMutant<{ user: ServiceInfo }>(path, from, to, [entry]);
  return startUser({ from: mutant.user });
}

/** Events about a person, as "version" of UserUpdated and "STATUS version" of UserStatusChanged. */
export async function newsOf(on: UserFixture, userId: string): Promise<readonly string[]> {
  return (await on.events()).flatMap((event) => {
    if (isMessage(event, UserUpdatedSchema) && event.userId === userId) return [`${event.aggregateVersion}`];
    if (isMessage(event, UserStatusChangedSchema) && event.userId === userId)
      return [`${statusNames.get(event.status)} ${event.aggregateVersion}`];
    return [];
  });
}

/** A person who calls. */
export function personOf(userId: string, scopes: readonly string[] = []): Person {
  return {
    kind: "person",
    id: userId,
    principal: `person:${userId}`,
    scopes: new Set(scopes),
    sessionId: "s1",
  };
}

/** Another company's service that calls. */
export function keyWith(...scopes: readonly string[]): Caller {
  return { kind: "api_key", id: "k1", principal: "api_key:k1", scopes: new Set(scopes) };
}

/** Who may do everything. */
export const operator: Caller = keyWith(...scopes);

/** "<code> <reason>" of a call's failure, "done" without one. */
export async function outcomeOf(call: Promise<unknown>): Promise<string> {
  try {
    await call;
    return "done";
  } catch (error) {
    const failure = ConnectError.from(error);
    return `${Code[failure.code]} ${failure.findDetails(ErrorInfoSchema)[0]?.reason ?? ""}`;
  }
}

function holdAuth(): HeldAuth {
  const keys = new Map<string, Uint8Array<ArrayBuffer> | undefined>();
  return {
    keys,
    held: new Map(),
    lapsed: [],
    away: false,
    destroyed: [],
    newcomer: () => {
      const person = { personId: systemRandom.uuid(), key: systemRandom.bytes(32) };
      keys.set(person.personId, person.key);
      return person;
    },
    created: (person, { email = "ada@example.org", displayName = "Ada", roles = ["member"], version = 1n } = {}) =>
      create(UserCreatedSchema, {
        userId: person.personId,
        profile: sealPersonal(UserProfileSchema, { email, displayName }, person, systemRandom),
        roles: [...roles],
        aggregateVersion: version,
        time: timestampFromMs(systemClock.now()),
      }),
  };
}

/** The other services: auth as it is held, and a branch-owner that knows everybody by name. */
function transportOf(auth: HeldAuth): Transport {
  const check = (): void => {
    if (auth.away) throw new ConnectError("away", Code.Unavailable);
  };
  return createRouterTransport(({ service }) => {
    service(ScopeService, {
      getHeldScopes: ({ userId }) => {
        check();
        return { scopes: [...(auth.held.get(userId) ?? [])] };
      },
    });
    service(AccountService, {
      // Two on a page.
      listLapsedAccounts: ({ pageToken }) => {
        check();
        const begin = Number(pageToken);
        const end = begin + 2;
        return {
          userIds: auth.lapsed.slice(begin, end),
          nextPageToken: end < auth.lapsed.length ? `${end}` : "",
        };
      },
    });
    service(PersonKeyService, {
      getPersonKeys: ({ personIds }) => {
        check();
        return {
          personKeys: personIds.map((personId) => ({
            personId,
            key: auth.keys.get(personId) ?? new Uint8Array(),
            destroyed: auth.keys.has(personId) && auth.keys.get(personId) === undefined,
          })),
        };
      },
      destroyPersonKey: ({ personId }) => {
        check();
        auth.keys.set(personId, undefined);
        auth.destroyed.push(personId);
        return {};
      },
    });
  });
}

/** Who holds data of people: auth, and a branch-owner that knows everybody by name. */
function holdersOf(auth: HeldAuth): PersonalDataHolders {
  return {
    names: ["auth", "branch-owner"],
    exportFrom: (holder, userId) => {
      if (holder === "branch-owner") return Promise.resolve({ displayName: `staff ${userId}` });
      if (auth.away) return Promise.reject(new ConnectError("away", Code.Unavailable));
      return Promise.resolve({ email: `${userId}@auth.test` });
    },
  };
}
