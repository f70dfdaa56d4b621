import { createCipheriv, createDecipheriv } from "node:crypto";
import {
  create,
  fromBinary,
  toBinary,
  type DescMessage,
  type MessageInitShape,
  type MessageShape,
} from "@bufbuild/protobuf";
import { SealedSchema, type Sealed } from "../../gen/muin/platform/v1/sealed_pb.ts";
import type { Random } from "../../platform/clock/random.ts";

const nonceBytes = 12;
const tagBytes = 16;

/** A person's own key, as auth hands it out. */
export interface PersonKey {
  readonly personId: string;
  /** 32 bytes. */
  readonly key: Uint8Array;
}

/** Encrypts a message of personal fields with the person's key (AES-256-GCM, the person's id as additional data). */
export function sealPersonal<M extends DescMessage>(
  schema: M,
  message: MessageInitShape<M>,
  person: PersonKey,
  random: Random,
): Sealed {
  const nonce = random.bytes(nonceBytes);
  const cipher = createCipheriv("aes-256-gcm", person.key, nonce).setAAD(Buffer.from(person.personId));
  const parts = [cipher.update(toBinary(schema, create(schema, message))), cipher.final(), cipher.getAuthTag()];
  return create(SealedSchema, { personId: person.personId, nonce, ciphertext: new Uint8Array(Buffer.concat(parts)) });
}

/** Opens what `sealPersonal` made. Throws when the key is not the person's or a bit was altered. */
export function openPersonal<M extends DescMessage>(schema: M, sealed: Sealed, key: Uint8Array): MessageShape<M> {
  if (sealed.nonce.length !== nonceBytes || sealed.ciphertext.length < tagBytes)
    throw new Error("not a sealed message");
  const end = sealed.ciphertext.length - tagBytes;
  const decipher = createDecipheriv("aes-256-gcm", key, sealed.nonce)
    .setAAD(Buffer.from(sealed.personId))
    .setAuthTag(sealed.ciphertext.subarray(end));
  const plain = Buffer.concat([decipher.update(sealed.ciphertext.subarray(0, end)), decipher.final()]);
  return fromBinary(schema, plain);
}
