import { createCipheriv, createHash, hkdfSync } from "node:crypto";
import { createLruMap } from "../../platform/cache/lru-map.ts";
import type { Secret } from "../../platform/config/fields.ts";
import type { KeyedGallery } from "./gallery.ts";

/**
 * Renewable templates, after ISO/IEC 24745. No embedding is stored: what is stored was turned in its space by a secret orthogonal transform, another one
 * for each branch, model and generation. Turning keeps every angle between two embeddings, hence every cosine and every decision.
 *
 * What it gives. Unlinkability: the templates of one face in two galleries have nothing to do with each other, so a stolen face store matches no
 * other store, no other branch, and no photograph. Renewability: a new generation makes all that was stolen worthless for the doors.
 *
 * What it does not give. Irreversibility once the secret leaks: whoever holds it turns the templates back to the embeddings. It must
 * therefore lie apart from the store. Nor secrecy of what angles tell: who holds the templates of one gallery sees which of its faces are alike, and who also holds
 * the embeddings of as many of its people as there are dimensions can solve for the transform of that gallery (of no other).
 *
 * The transform, version 1. From HKDF-SHA-256 (RFC 5869) of the secret, with the salt below and the gallery's name as info, come the key and the first counter block of AES-256 in counter mode
 * (NIST SP 800-38A), whose key stream is all the randomness. Each of 16 rounds draws a permutation (Fisher and Yates, from the last place down) and then turns its first place
 * against its second, its third against its fourth and so on, each pair by an angle of its own (a Givens rotation). Its product is orthogonal whatever
 * is drawn; after 11 rounds each of 2048 numbers has a part in each.
 */
const versionSalt = "muin-face-template-v1";
const rounds = 16;

/** Galleries whose transforms are kept: 80 KiB each at 512 dimensions, 320 KiB at 2048. */
export const keptTransformsMax = 64;

/** Turns embeddings into templates. */
export interface Templates {
  /** Names the secret by which new galleries are turned. */
  readonly keyId: string;
  /**
   * The template of an embedding that `readEmbedding` made: of length 1, as exact as float32 is. `undefined`: the gallery's secret is neither
   * the present one nor the former.
   */
  turn(gallery: KeyedGallery, unit: Float64Array): Float32Array | undefined;
  /** The embedding that a template was turned from, as exact as the template is: what turns it for another gallery. `undefined` as of `turn`. */
  turnBack(gallery: KeyedGallery, template: Float32Array): Float64Array | undefined;
}

/** Names a secret, without telling it. */
export function templateKeyId(secret: Secret): string {
  return createHash("sha256").update(`muin-face-template-key-id|${secret.reveal()}`).digest("hex").slice(0, 8);
}

/** Makes `Templates` from the present secret and, while galleries are renewed, the one before. */
export function createTemplates(secrets: {
  readonly present: Secret;
  readonly former?: Secret | undefined;
}): Templates {
  const { present, former } = secrets;
  const keyId = templateKeyId(present);
  const known = new Map([
    ...(former === undefined ? [] : [[templateKeyId(former), former] as const]),
    [keyId, present] as const,
  ]);
  const kept = createLruMap<Transform>(keptTransformsMax);
  const transformOf = (gallery: KeyedGallery, dimensions: number): Transform | undefined => {
    const secret = known.get(gallery.keyId);
    if (secret === undefined) return undefined;
    const name = JSON.stringify([gallery.branchId, gallery.modelId, gallery.generation]);
    const place = `${gallery.keyId}${dimensions}${name}`;
    let transform = kept.get(place);
    if (transform === undefined) {
      transform = drawTransform(secret, name, dimensions);
      kept.set(place, transform);
    }
    return transform;
  };
  return {
    keyId,
    turn: (gallery, unit) => {
      const transform = transformOf(gallery, unit.length);
      return transform && apply(transform, unit);
    },
    turnBack: (gallery, template) => {
      const transform = transformOf(gallery, template.length);
      return transform && applyBack(transform, template);
    },
  };
}

/** The rotations of all rounds, in the order in which they are applied. */
interface Transform {
  /** Two places for each rotation. */
  readonly places: Uint16Array;
  /** Cosine and sine for each rotation. */
  readonly angles: Float64Array;
}

function drawTransform(secret: Secret, name: string, dimensions: number): Transform {
  const pairs = dimensions >> 1;
  const wordsPerRound = dimensions - 1 + pairs;
  const words = keyStream(secret, name, rounds * wordsPerRound);
  const places = new Uint16Array(rounds * pairs * 2);
  const angles = new Float64Array(rounds * pairs * 2);
  const order = Uint16Array.from({ length: dimensions }, (_, place) => place);
  let next = 0;
  for (let round = 0; round < rounds; round += 1) {
    for (let place = dimensions - 1; place > 0; place -= 1) {
      // A number below place + 1; that 2^32 is no multiple of it prefers none by more than one in a million.
      const other = Math.floor(((words[next++] as number) * (place + 1)) / 2 ** 32);
      const moved = order[place] as number;
      order[place] = order[other] as number;
      order[other] = moved;
    }
    for (let pair = 0; pair < pairs; pair += 1) {
      const at = (round * pairs + pair) * 2;
      places[at] = order[pair * 2] as number;
      places[at + 1] = order[pair * 2 + 1] as number;
      const angle = ((words[next++] as number) / 2 ** 32) * 2 * Math.PI;
      angles[at] = Math.cos(angle);
      angles[at + 1] = Math.sin(angle);
    }
  }
  return { places, angles };
}

/** Unsigned numbers of 32 bits, little-endian. */
function keyStream(secret: Secret, name: string, words: number): Uint32Array {
  const derived = Buffer.from(hkdfSync("sha256", secret.reveal(), versionSalt, name, 48));
  const cipher = createCipheriv("aes-256-ctr", derived.subarray(0, 32), derived.subarray(32));
  return new Uint32Array(new Uint8Array(cipher.update(new Uint8Array(words * 4))).buffer);
}

function apply({ places, angles }: Transform, unit: Float64Array): Float32Array {
  const turned = unit.slice();
  for (let at = 0; at < places.length; at += 2) {
    const first = places[at] as number;
    const second = places[at + 1] as number;
    const cosine = angles[at] as number;
    const sine = angles[at + 1] as number;
    const x = turned[first] as number;
    const y = turned[second] as number;
    turned[first] = cosine * x - sine * y;
    turned[second] = sine * x + cosine * y;
  }
  return Float32Array.from(turned);
}

/** The rotations the other way round, the last one first. */
function applyBack({ places, angles }: Transform, template: Float32Array): Float64Array {
  const unit = Float64Array.from(template);
  for (let at = places.length - 2; at >= 0; at -= 2) {
    const first = places[at] as number;
    const second = places[at + 1] as number;
    const cosine = angles[at] as number;
    const sine = angles[at + 1] as number;
    const x = unit[first] as number;
    const y = unit[second] as number;
    unit[first] = cosine * x + sine * y;
    unit[second] = cosine * y - sine * x;
  }
  return unit;
}
