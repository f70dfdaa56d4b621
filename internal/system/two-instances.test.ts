import { isMessage } from "@bufbuild/protobuf";
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { generateKeyPairSync } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { DescService } from "@bufbuild/protobuf";
import { ConnectError, type Client } from "@connectrpc/connect";
import { ErrorInfoSchema } from "../gen/google/rpc/error_details_pb.ts";
import { CountImportService } from "../gen/muin/count/v1/count_import_service_pb.ts";
import { CountCheckState, CountManagementService } from "../gen/muin/count/v1/count_management_service_pb.ts";
import { CountReadService } from "../gen/muin/count/v1/count_read_service_pb.ts";
import { CountWriteService } from "../gen/muin/count/v1/count_write_service_pb.ts";
import { ApiKeyService } from "../gen/muin/identity/v1/api_key_service_pb.ts";
import { AuthService } from "../gen/muin/identity/v1/auth_service_pb.ts";
import { CredentialService } from "../gen/muin/identity/v1/credential_service_pb.ts";
import { DeviceService } from "../gen/muin/identity/v1/device_service_pb.ts";
import { ServiceTokenService } from "../gen/muin/identity/v1/service_token_service_pb.ts";
import { catalog } from "../catalog.ts";
import { newNonce, reader, reasonOf as decisionOf, seenAgain, startAccess } from "../face/access/access-fixture.ts";
import {
  administrator as facesAdministrator,
  anotherPictureOf,
  consent,
  newFace,
  outcomeOf,
  startMlops,
  withBackground,
} from "../face/mlops/mlops-fixture.ts";
import { FaceVectorErasedSchema } from "../gen/muin/face/v1/enrolment_events_pb.ts";
import { EnrolmentService } from "../gen/muin/face/v1/enrolment_service_pb.ts";
import { ReplayCheck } from "../gen/muin/face/v1/entry_pb.ts";
import { FaceModelService } from "../gen/muin/face/v1/face_model_service_pb.ts";
import { openDoor, openFaceStore } from "../face/access/snapshot/snapshots-fixture.ts";
import { templateOf } from "../face/shared/face-fixture.ts";
import { totpCode, totpStepAt } from "../identity/auth/factor/totp.ts";
import { systemClock } from "../platform/clock/clock.ts";
import { systemRandom } from "../platform/clock/random.ts";
import { signCall, signatureHeader } from "../platform/identity/signed-call.ts";
import { openDatabase } from "../platform/postgres/open-database.ts";
import { eventually } from "../platform/testing/eventually.ts";
import { connectClient } from "../platform/testing/muin.ts";
import { startMesh, type TestMesh } from "../platform/testing/mesh.ts";
import { startRedis } from "../platform/testing/redis.ts";
import { openMailbox, signUp } from "../platform/testing/sign-up.ts";
import { makeOperatorKey, startInstance, type Instance } from "./mesh-fixture.ts";

// Eight processes start by their sources, on busy machines.
setDefaultTimeout(120_000);

const services = ["auth", "count-management", "count-write", "count-read"] as const;
type Service = (typeof services)[number];

const settings: Readonly<Partial<Record<Service, Readonly<Record<string, string>>>>> = {
  auth: { MUIN_SIGN_UP: "open", MUIN_AUTH_MAILS_PER_NETWORK_MAX: "30" },
  // Only what it is told of a change makes it forget, and not its age.
  "count-read": { MUIN_COUNT_READ_INFO_LIFE_MS: "60000" },
};

let mesh: TestMesh;
let key: string;
const instances = new Map<Service, readonly [Instance, Instance]>();
beforeAll(async () => {
  mesh = await startMesh(catalog);
  await startTwo("auth");
  key = await makeOperatorKey(mesh);
  const tokens = client("auth", 0, ServiceTokenService);
  for (const serviceName of services.slice(1)) {
    await writeFile(mesh.secretFile(serviceName), (await tokens.issueBootstrapSecret({ serviceName })).secret);
  }
  await Promise.all(services.slice(1).map(startTwo));
});
afterAll(async () => {
  await Promise.all([...instances.values()].flat().map((instance) => instance.kill()));
  await mesh[Symbol.asyncDispose]();
});

/** Both at once, on stores that are empty at first. */
async function startTwo(service: Service): Promise<void> {
  const env = { MUIN_TRUSTED_HOPS: "1", ...settings[service] };
  const two = [startInstance(mesh, service, "first", env), startInstance(mesh, service, "other", env)] as const;
  const [first, other] = await Promise.all(two);
  instances.set(service, [first, other]);
  await Promise.all([first.isReady(), other.isReady()]);
}

function instance(service: Service, index: 0 | 1): Instance {
  return instances.get(service)![index];
}

let networks = 0;
/** A network of a test's own. */
const newNetwork = (): string => `198.51.100.${++networks}`;
const from = (network: string) => ({ headers: { "x-forwarded-for": network } });

function client<S extends DescService>(service: Service, index: 0 | 1, of: S, as: string | null = key): Client<S> {
  return connectClient(of, instance(service, index).url, as ?? undefined);
}

/** "ok", or the reason of the error. */
async function reasonOf(call: Promise<unknown>): Promise<string> {
  try {
    await call;
    return "ok";
  } catch (error) {
    const [info] = ConnectError.from(error).findDetails(ErrorInfoSchema);
    return info?.reason ?? String(error);
  }
}

let people = 0;
/** Somebody who has signed up at the first instance of auth. */
async function newPerson() {
  const account = { email: `p${++people}@example.org`, password: "correct horse battery" };
  const mailbox = openMailbox(join(mesh.folder.path, "mail"));
  const auth = client("auth", 0, AuthService, null);
  const credentials = client("auth", 0, CredentialService, null);
  const network = newNetwork();
  const there = { signUp: (...[request]: Parameters<typeof auth.signUp>) => auth.signUp(request, from(network)) };
  return { ...account, ...(await signUp(account, { auth: there, credentials, mailbox })) };
}

/** Calls both instances turn by turn and says how each call ended. */
async function inTurns(times: number, call: (index: 0 | 1) => Promise<unknown>): Promise<readonly string[]> {
  const outcomes: string[] = [];
  for (let time = 0; time < times; time++) outcomes.push(await reasonOf(call(time % 2 === 0 ? 0 : 1)));
  return outcomes;
}

/** How often each outcome stands there. */
function tally(outcomes: readonly string[]): Readonly<Record<string, number>> {
  return Object.fromEntries(
    Map.groupBy(outcomes, (each) => each)
      .entries()
      .map(([each, { length }]) => [each, length]),
  );
}

/** Kills one instance after the other, and has the one that is left do `work`. One of the two held the lease. */
async function whicheverIsKilled(service: Service, work: (index: 0 | 1) => Promise<void>): Promise<void> {
  for (const [killed, left] of [
    [0, 1],
    [1, 0],
  ] as const) {
    await instance(service, killed).kill();
    try {
      await work(left);
    } finally {
      instance(service, killed).restart();
      await instance(service, killed).isReady();
    }
  }
}

/** What stands in a row of the table, by its first cell, shown with two instances of a service on the same stores. */
const rows: Readonly<Record<string, () => Promise<void>>> = {
  "Migrations at start": async () => {
    for (const { info, store } of [
      { info: "auth", store: "database" },
      { info: "count-management", store: "info" },
    ]) {
      const database = openDatabase({ url: mesh.storeUrl(info, store), poolMax: 1, applicationName: "test" });
      await database.start();
      const applied = await database.sql<{ times: number }[]>`
        SELECT count(*)::int AS times FROM platform.migrations GROUP BY series, name`;
      await database.stop();
      expect(applied.length).toBeGreaterThan(1);
      expect(new Set(applied.map(({ times }) => times))).toEqual(new Set([1]));
      const logs = instances.get(info as Service)!.map((each) => each.program().stdout());
      const told = logs.flatMap((log) => log.match(/"migration applied"/g) ?? []);
      expect(told).toHaveLength(applied.length);
    }
  },

  "Nonces of signed calls": async () => {
    const { privateKey, publicKey } = generateKeyPairSync("ed25519");
    const { x = "" } = publicKey.export({ format: "jwk" });
    const path = `/${DeviceService.typeName}/ActivateDevice`;
    const text = JSON.stringify({
      activationCode: "0000-0000-0000",
      publicKey: Buffer.from(x, "base64url").toString("base64"),
    });
    const signed = (timeMs: number): Record<string, string> => {
      const body = new TextEncoder().encode(text);
      const call = { method: path, body, timeMs, nonce: systemRandom.uuid() };
      return { [signatureHeader]: signCall(privateKey, call), "x-forwarded-for": newNetwork() };
    };
    const send = async (index: 0 | 1, headers: Record<string, string>): Promise<string> => {
      const type = { "content-type": "application/json" };
      const init = { method: "POST", headers: { ...type, ...headers }, body: text };
      const reply = await (await fetch(instance("auth", index).url + path, init)).text();
      return /"reason":"([A-Z_]+)"/.exec(reply)?.[1] ?? reply;
    };
    const captured = signed(systemClock.now());
    // It got as far as its code, which is nobody's; then it is not even looked at.
    expect(await send(0, captured)).toBe("ACTIVATION_CODE_INVALID");
    expect(await send(1, captured)).toBe("SIGNATURE_REPLAYED");
    await instance("auth", 1).kill();
    instance("auth", 1).restart();
    await instance("auth", 1).isReady();
    expect(await send(1, captured)).toBe("SIGNATURE_REPLAYED");

    await mesh.redis.get("events")?.kill("SIGKILL");
    try {
      const late = signed(systemClock.now());
      expect(await send(0, late)).toBe("ACTIVATION_CODE_INVALID");
      expect(await send(0, late)).toBe("SIGNATURE_REPLAYED");
      await instance("auth", 0).program().shows("signed calls are compared with those of this process alone");
    } finally {
      await mesh.redis.get("events")?.restart();
    }
    await eventually(async () => {
      const late = signed(systemClock.now());
      expect([await send(0, late), await send(1, late)]).toEqual(["ACTIVATION_CODE_INVALID", "SIGNATURE_REPLAYED"]);
    });
  },

  Lockouts: async () => {
    const { email } = await newPerson();
    const network = newNetwork();
    const guess = (index: 0 | 1) =>
      client("auth", index, AuthService, null).signIn({ email, password: "wrong" }, from(network));
    expect(tally(await inTurns(14, guess))).toEqual({ CREDENTIALS_INVALID: 10, SIGN_IN_LOCKED: 4 });
  },

  "Quotas of mails and sign-ups": async () => {
    const network = newNetwork();
    const ask = (index: 0 | 1) =>
      client("auth", index, CredentialService, null).requestPasswordReset({ email: "no@example.org" }, from(network));
    expect(tally(await inTurns(34, ask))).toEqual({ ok: 30, QUOTA_EXHAUSTED: 4 });
  },

  "Sessions and refresh tokens": async () => {
    const { email, password } = await newPerson();
    const [one, two] = ([0, 1] as const).map((index) => client("auth", index, AuthService, null));
    const { tokens: first } = await one!.signIn({ email, password });
    const { tokens: second } = await two!.refreshToken({ refreshToken: first?.refreshToken ?? "" });
    const mine = client("auth", 0, AuthService, second?.accessToken ?? "");
    expect((await mine.listSessions({})).sessions).toHaveLength(2);
    // Who comes from elsewhere with one that was exchanged at the other instance is a thief: the session ends, at both.
    const stolen = { refreshToken: first?.refreshToken ?? "" };
    expect(await reasonOf(one!.refreshToken(stolen, from(newNetwork())))).toBe("REFRESH_TOKEN_INVALID");
    const last = { refreshToken: second?.refreshToken ?? "" };
    expect(await reasonOf(two!.refreshToken(last))).toBe("REFRESH_TOKEN_INVALID");
    await eventually(async () => expect(await reasonOf(mine.listSessions({}))).toBe("CREDENTIALS_INVALID"));
  },

  "Steps of a second factor": async () => {
    const person = await newPerson();
    const mine = client("auth", 0, CredentialService, person.tokens.accessToken);
    const { secret } = await mine.beginTotp({ currentPassword: person.password });
    // Codes of the step before and after are taken too: time enough.
    const step = totpStepAt(systemClock.now());
    await mine.confirmTotp({ code: totpCode(bytesOf(secret), step) });
    const used = totpCode(bytesOf(secret), step + 1);
    const challenges = await Promise.all(
      ([0, 1] as const).map((index) => client("auth", index, AuthService, null).signIn(person)),
    );
    const complete = (index: 0 | 1) =>
      client("auth", index, AuthService, null).completeSignIn({ challenge: challenges[index]!.challenge, code: used });
    expect(await inTurns(2, complete)).toEqual(["ok", "CODE_INVALID"]);
  },

  "Verified API keys and revocations": async () => {
    const { apiKey, secret } = await client("auth", 0, ApiKeyService).createApiKey({
      displayName: "short",
      scopes: ["counts.write"],
    });
    const { countId } = await newCount();
    const write = (index: 0 | 1) => client("count-write", index, CountWriteService, secret).increment({ countId });
    expect(await inTurns(2, write)).toEqual(["ok", "ok"]);
    await client("auth", 1, ApiKeyService).revokeApiKey({ apiKeyId: apiKey?.apiKeyId ?? "" });
    // How soon is shown elsewhere; here that it is so at both.
    await eventually(async () => {
      expect(await inTurns(2, write)).toEqual(["CREDENTIALS_INVALID", "CREDENTIALS_INVALID"]);
    });
  },

  "Failed look-ups of API keys": async () => {
    const network = newNetwork();
    const guess = (index: 0 | 1) =>
      reasonOf(
        client("count-write", index, CountWriteService, `muin_${systemRandom.uuid()}`).increment(
          { countId: "any" },
          from(network),
        ),
      );
    const many = await Promise.all(Array.from({ length: 60 }, () => guess(0)));
    expect(many).toContain("TOO_MANY_FAILED_KEYS");
    expect(await guess(1)).toBe("CREDENTIALS_INVALID");
  },

  "Metadata and values of Counts in memory": async () => {
    const { countId } = await newCount();
    const nameAt = async (index: 0 | 1): Promise<string | undefined> =>
      (await client("count-read", index, CountReadService).getCount({ countId })).count?.info?.displayName;
    await eventually(async () => expect([await nameAt(0), await nameAt(1)]).toEqual(["Before", "Before"]));
    const countInfo = { countId, displayName: "After" };
    await client("count-management", 1, CountManagementService).updateCount({ countInfo });
    await eventually(async () => expect([await nameAt(0), await nameAt(1)]).toEqual(["After", "After"]));
  },

  "Values of Counts and their batches": async () => {
    const { countId } = await newCount();
    const write = (index: 0 | 1) => client("count-write", index, CountWriteService).increment({ countId });
    await Promise.all(Array.from({ length: 200 }, (_, time) => write(time % 2 === 0 ? 0 : 1)));
    for (const index of [0, 1] as const) {
      const read = client("count-read", index, CountReadService).getCount({ countId, maxStaleness: {} });
      expect((await read).count?.value).toMatchObject({ value: 200n });
    }
    await isCounted(countId, 200n);
  },

  "Request ids": async () => {
    const { countId } = await newCount();
    const write = (index: 0 | 1) =>
      client("count-write", index, CountWriteService).increment({ countId, requestId: "once-and-only" });
    expect([(await write(0)).replayed, (await write(1)).replayed]).toEqual([false, true]);
    const create = (index: 0 | 1) =>
      client("count-management", index, CountManagementService).createCount({
        countId: `${countId}-again`,
        requestId: "once-and-only",
      });
    expect(await inTurns(2, create)).toEqual(["ok", "ok"]);
  },

  "Snapshots of branches' faces": async () => {
    await using redis = await startRedis();
    await using store = await openFaceStore(redis.url);
    await using first = await openDoor(redis.url, { host: "first" });
    await using other = await openDoor(redis.url, { host: "other" });
    const gallery = await store.branch();
    const template = templateOf([1, ...new Float64Array(63)]);
    await store.writer.put({ memberId: "m", enrolmentId: "e" }, [{ gallery, templates: [template] }]);
    const foundAt = (door: typeof first) => door.search(gallery, template);
    for (const door of [first, other]) {
      await door.loaded(gallery);
      expect(await foundAt(door)).toMatchObject({ result: { best: { memberId: "m" } } });
    }
    const behind = await store.instances.behind("99999999999999-0");
    expect(behind.map(({ host }) => host).toSorted()).toEqual(["first", "other"]);
    await store.applied(await store.writer.deny("e", [gallery.branchId], systemClock.now()));
    for (const door of [first, other]) expect(await foundAt(door)).toMatchObject({ result: { best: undefined } });
  },

  Imports: async () => {
    const { countId } = await newCount();
    const [one, two] = ([0, 1] as const).map((index) => client("count-write", index, CountImportService));
    const start = { optionsHash: new Uint8Array(32), prefix: new TextEncoder().encode(countId) };
    const { importId } = await one!.startImport(start);
    const batch = { importId, lines: 2n, writes: [{ countId, delta: 2n }] };
    await one!.importBatch({ ...batch, sequence: 1n, offsetEnd: 10n });
    expect(await two!.startImport(start)).toMatchObject({ importId, offset: 10n, sequence: 1n, lines: 2n });
    await two!.importBatch({ ...batch, sequence: 2n, offsetEnd: 20n });
    expect(await one!.getImport({ importId })).toMatchObject({ offset: 20n, sequence: 2n, lines: 4n });
    await isCounted(countId, 4n);
  },

  "Relays, consumers and schedules": async () => {
    const { countId } = await newCount();
    let value = 0n;
    await whicheverIsKilled("count-write", async (left) => {
      value += 1n;
      await client("count-write", left, CountWriteService).increment({ countId });
      // The sum of the events that count-management, too, has heard of.
      await isCounted(countId, value);
    });
    await whicheverIsKilled("count-management", async (left) => {
      value += 1n;
      await client("count-write", 0, CountWriteService).increment({ countId });
      await isCounted(countId, value, left);
    });
  },

  "Attempts at doors, lock-outs, who is inside": async () => {
    const { url } = await startRedis();
    const config = { denialsMax: 10 };
    await using first = await startAccess(url, { config });
    await using other = await startAccess(url, { config, database: first.url });
    const branchId = await first.newBranch({ entryRules: { capacityMax: 1 } });
    const [member, another] = [await first.newMember(branchId), await first.newMember(branchId)];
    const device = first.newDevice(branchId);
    const asked = { embedding: seenAgain(member.embedding), nonce: newNonce(), capturedAtMs: systemClock.now() };
    const decisions = await Promise.all([first, other, first, other].map((each) => each.identify(device, asked)));
    expect(new Set(decisions.map(({ entryId }) => entryId)).size).toBe(1);
    expect(await decisionOf(other.identify(device, { embedding: seenAgain(another.embedding) }))).toBe("FULL");
    await other.exit(device, branchId, member.id);
    expect(await decisionOf(first.identify(device, { embedding: seenAgain(another.embedding) }))).toBe("ADMITTED");
    // On a busy machine a process may judge some by its own memory alone: their entries say so.
    const prober = first.newDevice(branchId);
    for (const process of [first, other]) {
      await eventually(async () => {
        expect(await decisionOf(process.identify(prober, {}))).toBe("DEVICE_LOCKED_OUT");
      });
    }
    const denied = await eventually(async () => {
      const { entries } = await first.entries(reader).listEntries({ filter: { deviceId: prober.id } });
      expect(entries.length).toBeGreaterThanOrEqual(10);
      return entries.filter(({ replayCheck }) => replayCheck === ReplayCheck.SHARED);
    });
    expect(denied.length).toBeLessThanOrEqual(10);
  },

  "Entries on their way to the log": async () => {
    const { url } = await startRedis();
    await using first = await startAccess(url);
    await using other = await startAccess(url, { database: first.url });
    const branchId = await first.newBranch();
    const { embedding } = await first.newMember(branchId);
    const device = first.newDevice(branchId);
    // Each answers, so each sees to it that the entry is recorded.
    const asked = { embedding: seenAgain(embedding), nonce: newNonce(), capturedAtMs: systemClock.now() };
    const { entryId } = await first.identify(device, asked);
    expect((await other.identify(device, asked)).entryId).toBe(entryId);
    const second = await other.identify(device, { embedding: seenAgain(embedding) });
    await eventually(async () => {
      const { entries } = await first.entries(reader).listEntries({ filter: { branchId } });
      expect(entries.map((entry) => entry.entryId).toSorted()).toEqual([entryId, second.entryId].toSorted());
    });
  },

  "Enrolments of faces": async () => {
    await using first = await startMlops();
    const branchIds = [await first.newBranch()];
    const faceModel = await first.newModel();
    const { modelId } = faceModel;
    const other = first.again();
    // Connected to the face store once it has told it of the model.
    await eventually(() => other.as(FaceModelService, facesAdministrator).registerFaceModel({ faceModel }));
    const instances = [first, other].map((each) => each.as(EnrolmentService, facesAdministrator));
    const face = newFace();
    const requests = await Promise.all(
      Array.from({ length: 10 }, async (_, number) => {
        const { id: memberId } = await first.signUp();
        const embeddings = [anotherPictureOf(face)];
        return { branchIds, modelId, memberId, embeddings, consent, requestId: `enrolment-${number}` };
      }),
    );
    const enrol = (at: number) =>
      Promise.all(requests.map((request, number) => outcomeOf(instances[(number + at) % 2]!.enrolFace(request))));
    const outcomes = await enrol(0);
    expect(outcomes.toSorted()).toEqual([...Array.from({ length: 9 }, () => "AlreadyExists FACE_KNOWN"), "ok"]);
    // Each comes to the other instance once more.
    expect(await enrol(1)).toEqual(outcomes);
    const { enrolments } = await instances[1]!.listEnrolments({ branchId: branchIds[0] ?? "" });
    expect(enrolments).toHaveLength(1);
  },

  "Erasures of faces": async () => {
    await using first = await startMlops();
    const { enrolmentId } = await first.enrol();
    const instances = [first, first.again()];
    const enrolments = instances.map((each) => each.as(EnrolmentService, facesAdministrator));
    const [one] = enrolments;
    await eventually(() => enrolments[1]!.getEnrolment({ enrolmentId }));
    const erasures = await Promise.all(enrolments.map((each) => each.eraseFace({ enrolmentId })));
    expect(new Set(erasures.map(({ erasure }) => erasure?.erasureId)).size).toBe(1);
    await withBackground(instances[0]!, () =>
      withBackground(instances[1]!, () =>
        eventually(async () => {
          expect((await one!.getFaceErasure({ enrolmentId })).erasure?.receipt).not.toBe("");
        }),
      ),
    );
    const told = (await first.events()).filter((event) => isMessage(event, FaceVectorErasedSchema));
    expect(told).toHaveLength(1);
  },

  Mails: () =>
    whicheverIsKilled("auth", async (left) => {
      const email = `left${left}@example.org`;
      const auth = client("auth", left, AuthService, null);
      await auth.signUp({ email, password: "correct horse battery" }, from(newNetwork()));
      const mailbox = openMailbox(join(mesh.folder.path, "mail"));
      expect(await mailbox.token(email, "Verify your e-mail address")).not.toBe("");
    }),
};

const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
/** The bytes of a text in base32. */
function bytesOf(text: string): Uint8Array {
  const bits = Array.from(text, (letter) => alphabet.indexOf(letter).toString(2).padStart(5, "0")).join("");
  return Uint8Array.from(bits.match(/.{8}/g) ?? [], (eight) => Number.parseInt(eight, 2));
}

let counts = 0;
async function newCount(): Promise<{ readonly countId: string }> {
  const countId = `two-${++counts}`;
  const management = client("count-management", 0, CountManagementService);
  await management.createCount({ countId, countInfo: { displayName: "Before" } });
  return { countId };
}

/** Waits until the events of a Count come to its value. */
function isCounted(countId: string, sum: bigint, index: 0 | 1 = 0): Promise<void> {
  return eventually(
    async () => {
      const { checks } = await client("count-management", index, CountManagementService).verifyCounts({});
      const check = checks.find((each) => each.countId === countId);
      expect(check).toMatchObject({ sum, state: CountCheckState.EQUAL });
    },
    { timeoutMs: 30_000 },
  );
}

describe("two instances of a service on the same stores", () => {
  test("each row of the table is shown here", async () => {
    const text = await readFile(join(import.meta.dir, "../../cmd/muin/INSTANCES.md"), "utf8");
    const cells = text.split("\n").flatMap((line) => /^\| ([^|]+?) +\|/.exec(line)?.[1] ?? []);
    expect(cells.slice(2).toSorted()).toEqual(Object.keys(rows).toSorted());
  });

  test.each(Object.entries(rows))("%s", (_, shows) => shows());
});
