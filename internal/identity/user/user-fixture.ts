import { create, createRegistry, fromBinary, type Message } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, createClient, createRouterTransport, type Client } from "@connectrpc/connect";
import { ErrorInfoSchema } from "../../gen/google/rpc/error_details_pb.ts";
import { AccountService } from "../../gen/muin/identity/v1/account_service_pb.ts";
import { PersonKeyService } from "../../gen/muin/identity/v1/person_key_service_pb.ts";
import { StaffDataService } from "../../gen/muin/identity/v1/staff_data_service_pb.ts";
import {
  UserCreatedSchema,
  UserDataErasedSchema,
  UserProfileSchema,
  type UserCreated,
} from "../../gen/muin/identity/v1/user_events_pb.ts";
import { UserService } from "../../gen/muin/identity/v1/user_service_pb.ts";
import type { Delivery, Extra, Handled, Served, ServiceInfo, ServicePart } from "../../platform/app/define-service.ts";
import { systemClock } from "../../platform/clock/clock.ts";
import { systemRandom } from "../../platform/clock/random.ts";
import { once } from "../../platform/events/inbox.ts";
import { createPublish } from "../../platform/events/outbox.ts";
import type { Caller } from "../../platform/identity/caller.ts";
import { sealPersonal, type PersonKey } from "../../platform/identity/person-seal.ts";
import { migrate } from "../../platform/postgres/migrate.ts";
import { openDatabase, type OpenDatabase } from "../../platform/postgres/open-database.ts";
import { createInProcessTransport } from "../../platform/rpc/in-process.ts";
import { createMetrics } from "../../platform/telemetry/create-metrics.ts";
import type { Logger } from "../../platform/telemetry/logger.ts";
import { sharedPostgres } from "../../platform/testing/postgres.ts";
import { user } from "./definition.ts";
import { published } from "./events.ts";
import { migrations } from "./migrations.ts";

/** User on a PostgreSQL database of its own, and an auth that the test holds in its hand. */
export interface UserFixture extends AsyncDisposable {
  readonly url: string;
  readonly database: OpenDatabase;
  readonly auth: HeldAuth;
  readonly parts: readonly ServicePart[];
  readonly extras: readonly Extra[];
  /** Calls as somebody: policy, validation and errors as over the network. */
  as(caller: Caller): Client<typeof UserService>;
  /** Somebody signs up; resolves once user has heard of it. Returns the person who calls, who holds `scopes`. */
  signUp(options?: SignUpOptions): Promise<Person>;
  /** Hands an event to its handler, as the bus does; `eventId` is new unless given. */
  deliver(event: Message, eventId?: string): Promise<void>;
  /** Another service says that it has erased what it held. */
  erased(userId: string, service: string): Promise<void>;
  /** The same service, started once more: the same database and auth, nothing else in common. */
  again(): Pick<UserFixture, "as" | "parts">;
  /** Events in the order in which they were recorded. */
  events(): Promise<Message[]>;
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
  /** While true, every call is UNAVAILABLE. */
  away: boolean;
  /** Ids of people whose key was destroyed, as often as it was asked for. */
  readonly destroyed: string[];
  /** Page tokens of RepublishAccounts, of which there are two pages. */
  readonly republished: string[];
  /** Somebody who has a key from now on. */
  newcomer(): PersonKey;
  /** UserCreated of somebody who has a key. */
  created(person: PersonKey, options?: SignUpOptions & { readonly version?: bigint }): UserCreated;
}

const silent: Logger = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {}, child: () => silent };
const registry = createRegistry(...published);

/** Settings of the service under test. */
const configDefault = { erasureServices: "auth,branch-owner", erasureSweepMs: 50 };

/** Makes user with its schema migrated, without background work. `from` is another definition of it. */
export async function startUser(options: { readonly from?: ServiceInfo } = {}): Promise<UserFixture> {
  const url = await (await sharedPostgres()).createDatabase();
  await migrate({ url, migrations, log: silent });
  const database = openDatabase({ url, poolMax: 8, applicationName: "user test" });
  const auth = holdAuth();
  const publish = createPublish({
    source: "/muin/user",
    clock: systemClock,
    random: systemRandom,
    currentTraceparent: () => "",
  });
  const make = (): readonly ServicePart[] =>
    (options.from ?? user).create({
      stores: { database },
      calls: clientsOf(auth),
      publish: publish as never, // Typed by the declaration.
      bus: {
        publish: () => Promise.reject(new Error("user publishes through its outbox")),
        leaseholder: () => ({ name: "none", start: () => Promise.resolve(), stop: () => Promise.resolve() }),
      },
      config: configDefault,
      clock: systemClock,
      random: systemRandom,
      log: silent,
      metrics: createMetrics(),
    });
  const parts = make();

  const deliver = async (event: Message, eventId = systemRandom.uuid()): Promise<void> => {
    const handled = parts.find(
      (part): part is Handled => part.part === "handled" && part.schema.typeName === event.$typeName,
    );
    if (handled === undefined) throw new Error(`${event.$typeName} is not consumed`);
    const key = { consumer: "user/identity.user", generation: 1, eventId };
    const delivery: Delivery = {
      record: undefined as never, // Not looked at.
      attempt: 1,
      signal: new AbortController().signal,
      once: (into, effect) => once(into, key, effect),
    };
    await handled.handle(event, delivery);
  };

  return {
    url,
    database,
    auth,
    parts,
    extras: parts.filter((part): part is Extra => part.part !== "served" && part.part !== "handled"),
    as: (caller) => callAs(parts, caller),
    again: () => {
      const others = make();
      return { parts: others, as: (caller) => callAs(others, caller) };
    },
    signUp: async (how = {}) => {
      const person = auth.newcomer();
      await deliver(auth.created(person, how));
      return personOf(person.personId, how.scopes);
    },
    deliver,
    erased: (userId, service) =>
      deliver(create(UserDataErasedSchema, { userId, service, aggregateVersion: 2n, time: timestampFromMs(1) })),
    events: async () => {
      const rows = await database.sql<{ type: string; data: Uint8Array }[]>`
        SELECT type, data FROM platform.outbox ORDER BY sequence`;
      return rows.map(({ type, data }) => {
        const schema = registry.getMessage(type);
        if (schema === undefined) throw new Error(`${type} is not declared`);
        return fromBinary(schema, data);
      });
    },
    [Symbol.asyncDispose]: () => database.stop(),
  };
}

function callAs(parts: readonly ServicePart[], caller: Caller): Client<typeof UserService> {
  const served = parts.filter((part): part is Served => part.part === "served");
  const transport = createInProcessTransport(served, {
    caller,
    observer: { begin: () => ({ traceparent: undefined, end: () => {}, run: (work) => work() }) },
    log: silent,
  });
  return createClient(UserService, transport);
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
export const operator: Caller = keyWith("users.read", "users.manage", "scopes.manage");

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
    away: false,
    destroyed: [],
    republished: [],
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
function clientsOf(auth: HeldAuth) {
  const check = (): void => {
    if (auth.away) throw new ConnectError("away", Code.Unavailable);
  };
  const transport = createRouterTransport(({ service }) => {
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
    service(AccountService, {
      exportAccountData: ({ userId }) => {
        check();
        return { account: { email: `${userId}@auth.test` } };
      },
      republishAccounts: ({ pageToken }) => {
        auth.republished.push(pageToken);
        return { republished: 1, nextPageToken: pageToken === "" ? "second" : "" };
      },
    });
    service(StaffDataService, {
      exportStaffData: ({ userId }) => ({ staff: { displayName: `staff ${userId}` } }),
    });
  });
  return {
    personKeys: createClient(PersonKeyService, transport),
    accounts: createClient(AccountService, transport),
    staff: createClient(StaffDataService, transport),
  };
}
