import { create, fromBinary } from "@bufbuild/protobuf";
import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { UserProfileSchema } from "../../gen/muin/identity/v1/user_events_pb.ts";
import { SealedSchema, type Sealed } from "../../gen/muin/platform/v1/sealed_pb.ts";
import { systemRandom } from "../../platform/clock/random.ts";
import { importMutant } from "../../platform/testing/mutant.ts";
import { openPersonal, sealPersonal } from "./person-seal.ts";

const person = { personId: "u1", key: systemRandom.bytes(32) };
const profile = { email: "a@b.test", displayName: "Ada" };
const seal = (): Sealed => sealPersonal(UserProfileSchema, profile, person, systemRandom);

test("what was sealed opens with the person's key, and is never sealed alike twice", () => {
  expect(openPersonal(UserProfileSchema, seal(), person.key)).toEqual(create(UserProfileSchema, profile));
  expect(seal().ciphertext).not.toEqual(seal().ciphertext);
});

test("it is AES-256-GCM as others read it: 12-byte nonce, ciphertext and tag, the person's id beside", async () => {
  const { nonce, ciphertext, personId } = seal();
  const key = await crypto.subtle.importKey("raw", person.key, "AES-GCM", false, ["decrypt"]);
  const additionalData = new TextEncoder().encode(personId);
  const algorithm = { name: "AES-GCM", iv: new Uint8Array(nonce), additionalData };
  const plain = await crypto.subtle.decrypt(algorithm, key, new Uint8Array(ciphertext));
  expect(nonce).toHaveLength(12);
  expect(fromBinary(UserProfileSchema, new Uint8Array(plain))).toEqual(create(UserProfileSchema, profile));
});

const flipped = (bytes: Uint8Array, at: number): Uint8Array =>
  bytes.map((byte, index) => (index === at ? byte ^ 1 : byte));

describe("does not open", () => {
  test.each<[string, (sealed: Sealed) => Partial<Sealed>]>([
    ["for another person", () => ({ personId: "u2" })],
    ["with an altered nonce", ({ nonce }) => ({ nonce: flipped(nonce, 0) })],
    ["with an altered text", ({ ciphertext }) => ({ ciphertext: flipped(ciphertext, 0) })],
    ["with an altered tag", ({ ciphertext }) => ({ ciphertext: flipped(ciphertext, ciphertext.length - 1) })],
    ["with a cut tag", ({ ciphertext }) => ({ ciphertext: ciphertext.subarray(0, -1) })],
    ["without a text", () => ({ ciphertext: new Uint8Array(15) })],
  ])("%s", (_name, alter) => {
    const sealed = seal();
    const altered = create(SealedSchema, { ...sealed, ...alter(sealed) });
    expect(() => openPersonal(UserProfileSchema, altered, person.key)).toThrow();
  });

  test("with another key", () => {
    expect(() => openPersonal(UserProfileSchema, seal(), systemRandom.bytes(32))).toThrow();
  });

  test("for another person only because the id is part of it", async () => {
    const careless = await importMutant<typeof import("./person-seal.ts")>(
      join(import.meta.dir, "person-seal.ts"),
      ".setAAD(Buffer.from(sealed.personId))",
      ".setAAD(Buffer.from('u1'))",
    );
    const moved = create(SealedSchema, { ...seal(), personId: "u2" });
    expect(careless.openPersonal(UserProfileSchema, moved, person.key)).toMatchObject(profile);
  });
});
