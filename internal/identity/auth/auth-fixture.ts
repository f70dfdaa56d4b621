import { spyOn } from "bun:test";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import {
  create as createMessage,
  createRegistry,
  type DescMessage,
  type DescService,
  type Message,
  type MessageInitShape,
} from "@bufbuild/protobuf";
import {
  Code,
  ConnectError,
  createClient,
  createRouterTransport,
  type Client,
  type Interceptor,
} from "@connectrpc/connect";
import { ErrorInfoSchema } from "../../gen/google/rpc/error_details_pb.ts";
import { AuthService, type SignUpRequestSchema } from "../../gen/muin/identity/v1/auth_service_pb.ts";
import { CredentialService } from "../../gen/muin/identity/v1/credential_service_pb.ts";
import { Role } from "../../gen/muin/identity/v1/user_pb.ts";
import { UserUpdatedSchema } from "../../gen/muin/identity/v1/user_events_pb.ts";
import { scopes } from "../../gen/scopes.ts";
import { systemClock, type Clock } from "../../platform/clock/clock.ts";
import { systemRandom } from "../../platform/clock/random.ts";
import { Secret } from "../../platform/config/fields.ts";
import { createPublish } from "../../platform/events/outbox.ts";
import { addressKey } from "../../platform/identity/address.ts";
import { signatureKey, type CallSignature } from "../../platform/identity/call-signature.ts";
import { anonymous, callerKey, type Caller } from "../../platform/identity/caller.ts";
import type { Component } from "../../platform/lifecycle/component.ts";
import type { Database } from "../../platform/postgres/database.ts";
import { openDatabase, type OpenDatabase } from "../../platform/postgres/open-database.ts";
import { createErrorMapper, errorDomain } from "../../platform/rpc/call/map-error.ts";
import { compileTextCheck } from "../../platform/rpc/call/text.ts";
import { createValidate } from "../../platform/rpc/call/validate.ts";
import type { ServiceInfo } from "../../platform/service/define-service.ts";
import { partsOf, type Served, type ServicePart } from "../../platform/service/parts.ts";
import type { Logger } from "../../platform/telemetry/logger.ts";
import { signUp, type Mailbox, type SignedUp } from "../../platform/testing/sign-up.ts";
import { importMutant } from "../../platform/testing/mutant.ts";
import { startService, type TestService } from "../../platform/testing/service.ts";
import { authConfig, type AuthConfig } from "./config.ts";
import { auth } from "./definition.ts";
import type { AuthPublish } from "./events.ts";
import type { MailSender } from "./mail/sender.ts";
import type { createPruning } from "./retention/rules.ts";

/** A clock that goes with the machine's and can be moved. */
export interface MovableClock extends Clock {
  advance(ms: number): void;
}

/** Who calls and from where; by default nobody, from 192.0.2.1. */
export interface From {
  readonly caller?: Caller;
  readonly address?: string;
  readonly userAgent?: string;
  /** Of a call that is signed. */
  readonly signature?: CallSignature;
}

type SignUpAccount = MessageInitShape<typeof SignUpRequestSchema> & { readonly email: string };

/** A mail as its recipient reads it. */
export interface SentMail {
  readonly to: string;
  readonly subject: string;
  readonly token: string;
}

/** Auth on a PostgreSQL database of its own. */
export interface AuthFixture extends AsyncDisposable {
  /** The database's URL, for a connection beside the service's own. */
  readonly url: string;
  readonly database: OpenDatabase;
  readonly clock: MovableClock;
  readonly publish: AuthPublish;
  readonly config: AuthConfig;
  readonly log: Logger;
  readonly parts: readonly ServicePart[];
  readonly extras: readonly ServicePart[];
  /** A client that calls as somebody, with the proto's validation and the platform's error mapping. */
  as<S extends DescService>(service: S, from?: From): Client<S>;
  /** Somebody signs up and verifies their address by the mail; all mails that wait go out by the way. */
  signUp(account: SignUpAccount, from?: From): Promise<SignedUp>;
  /** Hands an event to its consumer, as the bus does: an id that came before has no effect. Returns the id. */
  deliver<M extends DescMessage>(schema: M, event: MessageInitShape<M>, id?: string): Promise<string>;
  /** The same for an event of an epoch. */
  deliverIn(epoch: number, event: Message): Promise<void>;
  /** Events in the order in which they were recorded. */
  events(): Promise<Message[]>;
  /** One turn of the sending of mails; all that were sent so far, in the order in which they were asked for. */
  mails(): Promise<readonly SentMail[]>;
  /** One turn of the pruning that runs in the background. */
  prune(): Promise<void>;
  /** Another process of the same installation: the same rows by a pool of its own, nothing else in common but the clock. */
  another(): Pick<TestService, "parts" | "database">;
}

const silent: Logger = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {}, child: () => silent };

const mapper = createErrorMapper(errorDomain);

/** Nobody's secret, and the cheapest parameters that Argon2 takes: the tests count computations, not their time. */
const testConfig = {
  keyEncryptionSecret: new Secret("a key-encryption secret for tests only"),
  argon2MemoryKib: 8,
  argon2Passes: 1,
  signUp: "open",
  signUpsPerNetworkMax: 1000,
} as const;

/** Starts auth with its schema migrated; `definition` is another than the real one, such as a mutant. */
export async function startAuth(
  options: { readonly config?: Partial<AuthConfig>; readonly definition?: ServiceInfo } = {},
): Promise<AuthFixture> {
  const clock = createMovableClock();
  const mailFolder = await mkdtemp(join(tmpdir(), "muin-auth-mail-"));
  const defaults = Object.entries(authConfig).map(([key, field]) => [key, field.default] as const);
  const given = { ...testConfig, mailUrl: pathToFileURL(mailFolder).href, ...options.config };
  const config = { ...Object.fromEntries(defaults), ...given } as AuthConfig;
  const service = await startService(options.definition ?? auth, { config, clock });
  const { url, database, parts } = service;
  const background = (name: string): Component => {
    const found = partsOf(parts, "background").find(({ component }) => component.name === name);
    if (found === undefined) throw new Error(`${name} does not run`);
    return found.component;
  };
  const mails = async (): Promise<readonly SentMail[]> => {
    await (background("auth mails") as MailSender).send();
    const names = (await readdir(mailFolder)).filter((name) => name.endsWith(".eml"));
    const read = names.toSorted().map(async (name): Promise<SentMail> => {
      const text = await Bun.file(join(mailFolder, name)).text();
      const first = (pattern: RegExp): string => pattern.exec(text)?.[1] ?? "";
      return {
        to: first(/^To: (.*)\r$/m),
        subject: first(/^Subject: (.*)\r$/m),
        token: first(/^([A-Za-z0-9_-]{43})\r$/m),
      };
    });
    return Promise.all(read); // Their names grow with time.
  };
  const as: AuthFixture["as"] = (rpc, from = {}) => clientOf(parts, rpc, from);
  const mailbox: Mailbox = {
    token: async (to, subject) => {
      const address = to.trim().toLowerCase();
      return (await mails()).findLast((mail) => mail.to === address && mail.subject === subject)?.token ?? "";
    },
  };
  return {
    url,
    database,
    clock,
    publish: createPublish({
      source: "/muin/auth",
      clock,
      random: systemRandom,
      currentTraceparent: () => "",
    }) as AuthPublish,
    config,
    log: silent,
    parts,
    extras: parts.filter(({ part }) => part !== "served" && part !== "handled"),
    as,
    signUp: (account, from = {}) =>
      signUp(account, { auth: as(AuthService, from), credentials: as(CredentialService, from), mailbox }),
    deliver: async (schema, event, id = systemRandom.uuid()) => {
      await service.deliver(createMessage(schema, event), id);
      return id;
    },
    deliverIn: (epoch, event) => service.deliver(event, undefined, epoch),
    events: async () => [...(await service.events())],
    mails,
    prune: () => (background("auth pruning") as ReturnType<typeof createPruning>).prune(),
    another: () => service.again(),
    [Symbol.asyncDispose]: async () => {
      await service[Symbol.asyncDispose]();
      await rm(mailFolder, { recursive: true });
    },
  };
}

/** Auth with one rule broken: `from` occurs once in the file, which is named from this folder, and `to` stands in its place. */
export async function mutantOf(file: string, from: string, to: string): Promise<ServiceInfo> {
  const folder = import.meta.dir;
  const mutant = await importMutant<{ auth: ServiceInfo }>(join(folder, file), from, to, [
    join(folder, "definition.ts"),
  ]);
  return mutant.auth;
}

/** A database beside the service's own pool. */
export function connect(url: string): AsyncDisposable & Database {
  const database = openDatabase({ url, poolMax: 2, applicationName: "beside auth" });
  return { ...database, [Symbol.asyncDispose]: () => database.stop() };
}

/** A client of a service among `parts`. */
export function clientOf<S extends DescService>(parts: readonly ServicePart[], service: S, from: From = {}): Client<S> {
  const served = parts.find((part): part is Served => part.part === "served" && part.service === service);
  if (served === undefined) throw new Error(`${service.typeName} is not served`);
  const steps: Interceptor = (next) => async (request) => {
    request.contextValues.set(callerKey, from.caller ?? anonymous);
    request.contextValues.set(signatureKey, from.signature);
    request.contextValues.set(addressKey, from.address ?? "192.0.2.1");
    try {
      const { input } = request.method;
      if (!request.stream) createValidate(input, compileTextCheck(input, createRegistry()), false)(request.message);
      return await next(request);
    } catch (error) {
      throw mapper.map(error).error;
    }
  };
  const client: Interceptor = (next) => (request) => {
    request.header.set("user-agent", from.userAgent ?? "test/1");
    return next(request);
  };
  const transport = createRouterTransport(({ service: add }) => void add(served.service, served.impl), {
    router: { interceptors: [steps] },
    transport: { interceptors: [client] },
  });
  return createClient(service, transport);
}

/** A person as the platform's authenticator tells them from their access token; the token is not verified here. */
export function personOfToken(accessToken: string): Extract<Caller, { kind: "person" }> {
  const claims = JSON.parse(Buffer.from(accessToken.split(".")[1] ?? "", "base64url").toString()) as {
    sub: string;
    sid: string;
    scope: string;
  };
  return {
    kind: "person",
    id: claims.sub,
    principal: `person:${claims.sub}`,
    scopes: new Set(claims.scope.split(" ").filter((scope) => scope !== "")),
    sessionId: claims.sid,
  };
}

/** An administrator, who holds every scope. */
export async function newAdministrator(
  auth: Pick<AuthFixture, "signUp" | "deliver">,
  email = "admin@example.org",
): Promise<Extract<Caller, { kind: "person" }>> {
  const { userId, tokens } = await auth.signUp({ email, password: "correct horse battery" });
  const roleAssignments = [{ role: Role.ADMINISTRATOR }];
  await auth.deliver(UserUpdatedSchema, { userId, roleAssignments, aggregateVersion: 2n });
  return { ...personOfToken(tokens.accessToken), scopes: new Set<string>(scopes) };
}

/** One of Muin's own services. */
export const service: Caller = { kind: "service", id: "count-write", principal: "service:count-write" };

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

/** Every statement that a call runs, in order, without its values; and what it answers. */
export async function statementsDuring(
  auth: AuthFixture,
  call: () => Promise<unknown>,
): Promise<{ readonly statements: readonly string[]; readonly reply: unknown }> {
  const statements: string[] = [];
  const recording = <T extends object>(sql: T): T =>
    new Proxy(sql, {
      apply: (target, self, args: [TemplateStringsArray]) => {
        statements.push(args[0].join("?"));
        return Reflect.apply<unknown, unknown[], unknown>(target as never, self, args);
      },
    });
  const transaction = auth.database.transaction.bind(auth.database);
  const { sql } = auth.database;
  const spy = spyOn(auth.database, "transaction").mockImplementation(
    (work) => transaction((tx) => work(recording(tx))) as never,
  );
  Object.defineProperty(auth.database, "sql", { configurable: true, value: recording(sql) });
  try {
    return { reply: await call(), statements };
  } finally {
    Object.defineProperty(auth.database, "sql", { configurable: true, value: sql });
    spy.mockRestore();
  }
}

function createMovableClock(): MovableClock {
  let offsetMs = 0;
  return {
    now: () => systemClock.now() + offsetMs,
    monotonic: () => systemClock.monotonic() + offsetMs,
    sleep: (ms, signal) => systemClock.sleep(ms, signal),
    advance: (ms) => {
      offsetMs += ms;
    },
  };
}
