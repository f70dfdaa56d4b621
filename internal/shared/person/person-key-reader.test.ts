import { create } from "@bufbuild/protobuf";
import { Code, ConnectError, createClient, createRouterTransport } from "@connectrpc/connect";
import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { PersonKeyService } from "../../gen/muin/identity/v1/person_key_service_pb.ts";
import { UserProfileSchema } from "../../gen/muin/identity/v1/user_events_pb.ts";
import type { Sealed } from "../../gen/muin/platform/v1/sealed_pb.ts";
import { systemRandom } from "../../platform/clock/random.ts";
import { importMutant } from "../../platform/testing/mutant.ts";
import { runServed, servedCall } from "../../platform/rpc/call/served-call.ts";
import { createPersonKeyReader } from "./person-key-reader.ts";
import { sealPersonal } from "./person-seal.ts";

type Create = typeof createPersonKeyReader;

const profile = { email: "a@b.test", displayName: "Ada" };

/** A reader with a clock and an auth that the test holds in its hand. */
function setUp(createReader: Create = createPersonKeyReader) {
  const state = {
    nowMs: 1_000_000,
    away: false,
    destroyed: new Set<string>(),
    /** The ids of each call. */
    asked: [] as (readonly string[])[],
  };
  const keys = new Map<string, Uint8Array<ArrayBuffer>>();
  const personKeys = createClient(
    PersonKeyService,
    createRouterTransport(({ service }) => {
      service(PersonKeyService, {
        getPersonKeys: ({ personIds }) => {
          state.asked.push(personIds);
          if (state.away) throw new ConnectError("away", Code.Unavailable);
          return {
            personKeys: personIds.map((personId) => {
              const destroyed = state.destroyed.has(personId);
              return {
                personId,
                key: destroyed ? new Uint8Array() : (keys.get(personId) ?? new Uint8Array()),
                destroyed,
              };
            }),
          };
        },
      });
    }),
  );
  const seal = (personId: string): Sealed => {
    const key = keys.get(personId) ?? systemRandom.bytes(32);
    keys.set(personId, key);
    return sealPersonal(UserProfileSchema, profile, { personId, key }, systemRandom);
  };
  const reader = createReader({ keys: personKeys, clock: { monotonic: () => state.nowMs } });
  return { state, seal, reader, open: (sealed: Sealed) => reader.open(UserProfileSchema, sealed) };
}

const mutant = async (from: string, to: string): Promise<Create> =>
  (await importMutant<{ createPersonKeyReader: Create }>(join(import.meta.dir, "person-key-reader.ts"), from, to))
    .createPersonKeyReader;

/** How many calls it took to open the same twice, `ms` milliseconds apart. */
async function callsWithPause(ms: number, createReader?: Create): Promise<number> {
  const { state, seal, open } = setUp(createReader);
  const sealed = seal("u1");
  await open(sealed);
  state.nowMs += ms;
  await open(sealed);
  return state.asked.length;
}

/** How many calls it took to open the first person's fields again after `people` others. */
async function callsAfterOthers(people: number, createReader?: Create): Promise<number> {
  const { state, seal, open, reader } = setUp(createReader);
  const first = seal("u0");
  await open(first);
  for (let n = 1; n <= people; n++) seal(`u${n}`);
  await Promise.all(Array.from({ length: people }, (_, n) => reader.keyOf(`u${n + 1}`)));
  state.asked = [];
  await open(first);
  return state.asked.length;
}

/** Whether asking for a key takes over the deadline and the end of the call that asks first. */
const endsWithCall = async (createReader?: Create): Promise<boolean> => {
  let seen: unknown;
  const keys = {
    getPersonKeys: () => {
      seen = servedCall();
      return Promise.resolve({
        personKeys: [{ personId: "u1", key: new Uint8Array(32), destroyed: false }],
      } as never);
    },
  };
  const reader = (createReader ?? createPersonKeyReader)({ keys, clock: { monotonic: () => 0 } });
  await runServed({} as never, () => reader.keyOf("u1"));
  return seen !== undefined;
};

describe("personal fields", () => {
  test("open with the person's key", async () => {
    const { seal, open } = setUp();
    expect(await open(seal("u1"))).toEqual(create(UserProfileSchema, profile));
  });

  test("of a person whose key was destroyed are nobody's", async () => {
    const { state, seal, open, reader } = setUp();
    const sealed = seal("u1");
    state.destroyed.add("u1");
    expect([await open(sealed), await reader.keyOf("u1")]).toEqual([undefined, undefined]);
  });

  test("of a person whom auth does not know are refused, and asked for again", async () => {
    const { state, reader } = setUp();
    const answer = (): Promise<string> => reader.keyOf("u9").then(String, String);
    expect([await answer(), await answer()]).toEqual(Array(2).fill("Error: auth knows of no person u9"));
    expect(state.asked).toEqual([["u9"], ["u9"]]);
  });

  test("are not given up while auth is away", async () => {
    const { state, seal, open } = setUp();
    const sealed = seal("u1");
    state.away = true;
    expect(await open(sealed).catch((error: unknown) => ConnectError.from(error).code)).toBe(Code.Unavailable);
    state.away = false;
    expect(await open(sealed)).toMatchObject(profile);
    state.away = true;
    expect(await open(sealed)).toMatchObject(profile);
  });

  test("that were altered do not open", async () => {
    const { seal, open } = setUp();
    const sealed = seal("u1");
    sealed.ciphertext[0] = (sealed.ciphertext[0] ?? 0) ^ 1;
    expect(await open(sealed).catch(() => "refused")).toBe("refused");
  });
});

describe("a key", () => {
  test("is remembered for less than a minute", async () => {
    expect([await callsWithPause(59_999), await callsWithPause(60_000)]).toEqual([1, 2]);
  });

  test("mutant: one that is remembered for ever is noticed", async () => {
    expect(await callsWithPause(60_000, await mutant("clock.monotonic() < remembered.untilMs", "true"))).toBe(1);
  });

  test("makes room for others", async () => {
    expect([await callsAfterOthers(9999), await callsAfterOthers(10_000)]).toEqual([0, 1]);
  });

  test("mutant: memory without a bound is noticed", async () => {
    expect(await callsAfterOthers(10_000, await mutant("keysMax = 10_000", "keysMax = 1_000_000"))).toBe(0);
  });

  test("travels with others that are asked for at the same time, 1000 at most", async () => {
    const { state, seal, reader } = setUp();
    const ids = Array.from({ length: 1500 }, (_, n) => `u${n}`);
    for (const id of ids) seal(id);
    await Promise.all([...ids.slice(0, 10), ...ids].map((id) => reader.keyOf(id)));
    expect(state.asked.map((asked) => asked.length)).toEqual([1000, 500]);
  });

  test("that several may wait for is not asked for by one of their calls", async () => {
    expect(await endsWithCall()).toBe(false);
  });

  test("mutant: one that ends with the call that asked first is noticed", async () => {
    expect(await endsWithCall(await mutant("apart(() => ask(personIds))", "ask(personIds)"))).toBe(true);
  });
});
