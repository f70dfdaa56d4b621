import { createLruMap } from "../../../platform/cache/lru-map.ts";
import { keysOf } from "../../shared/key-schema.ts";
import { packAsked, packedWritesMax, unpackReply } from "../../shared/packed-writes.ts";

/** Most writes that one call of the script takes. */
export const batchWritesMax: number = packedWritesMax;

/** Bytes of the digest that stands for a request id with its caller and its Count. */
export const digestBytes = 16;

/** Bytes of the field that counts the request ids of a caller in a bucket: shorter than a digest, so that it is none. */
export const callerFieldBytes = 9;

/** A write as the script takes it. */
export interface CountWrite {
  readonly countId: string;
  /** "a": add `operand`, negative to subtract. "s": set to `operand`. */
  readonly kind: "a" | "s";
  /** Within +-(2^53 - 1). */
  readonly operand: number;
  /** Printable ASCII; makes the write safe to repeat, and goes into its change event. Empty without one. */
  readonly requestId: string;
  /** Who writes: a request id is one caller's own. Needed with a request id only. */
  readonly principal: string;
}

/** A write that was applied, now or before under the same request id. */
export interface AppliedWrite {
  readonly outcome: "applied" | "replayed";
  readonly value: number;
  readonly revision: number;
  /** When it was applied, in milliseconds since the Unix epoch by the shard's clock. */
  readonly timeMs: number;
}

/** A write that was refused and changed nothing. */
export type RefusedWrite =
  | {
      readonly outcome:
        "not_found" | "deleted" | "request_id_reused" | "request_ids_full" | "request_ids_of_caller_full";
    }
  /** `value` is the present one, `bound` what it would have passed. */
  | { readonly outcome: "out_of_range"; readonly value: number; readonly bound: number };

/** What came of one write. */
export type WriteOutcome = AppliedWrite | RefusedWrite;

/** Whether a write was applied. */
export function isApplied(outcome: WriteOutcome): outcome is AppliedWrite {
  return outcome.outcome === "applied" || outcome.outcome === "replayed";
}

/** What came of a whole batch: the outcome of each write, or why nothing of it was done. */
export type BatchReply =
  | { readonly kind: "done"; readonly outcomes: readonly WriteOutcome[] }
  /** The outbox is full. A memory for ever does not remember this, and the same batch may be sent again. */
  | { readonly kind: "outbox_full" }
  /** The store does not know the writer, or has forgotten it. */
  | { readonly kind: "unknown_writer" }
  /** A sequence that lies behind what the writer's memory holds. */
  | { readonly kind: "evicted" };

/** How a batch is bound to its writer, and the limits it is held to. */
export interface BatchHeader {
  /** Grows by one with each batch of the writer on the shard, from 1. */
  readonly sequence: number;
  /** Begin the writer's memory when there is none; else such a batch is refused as of an unknown writer. */
  readonly begin: boolean;
  /** Replies remembered: as many as the writer may have in flight. */
  readonly slots: number;
  /** Life of the memory after its last use in milliseconds; 0 for ever. */
  readonly memoryMs: number;
  /** How long a request id is remembered at least, in milliseconds. */
  readonly requestWindowMs: number;
  /** Most request ids remembered on the shard. */
  readonly requestIdsMax: number;
  /** Most of them that are one caller's. */
  readonly requestIdsPerCallerMax: number;
  /** Most bytes in the outbox of the shard. */
  readonly outboxBytesMax: number;
}

/** The keys that the script takes for a writer on a shard. */
export interface BatchKeys {
  readonly names: readonly string[];
  /** The same as bulk strings of the Redis protocol, which each batch repeats. */
  readonly bytes: Buffer;
}

/** A batch ready to be sent, as often as needed. */
export interface EncodedBatch {
  readonly keys: BatchKeys;
  readonly args: readonly Buffer[];
}

/** The writes of a batch, packed. */
export interface EncodedWrites {
  /** What is asked for, as `packed-writes.ts` packs it. */
  readonly writes: Buffer;
  /** The digests of the writes that have a request id, one after the other. */
  readonly digests: Buffer;
  /** Whose they are: how many callers, the field of each and, of several, the place of each digest's caller. Empty without digests. */
  readonly callers: Buffer;
  /** The request ids of all writes, only for the outbox; empty when none has one. */
  readonly requestIds: Buffer;
}

/** Ends each request id, which is printable. */
const requestIdSeparator = "\n";
const nothing = Buffer.alloc(0);
const hash = new Uint8Array(32);
const hashHead = new Uint32Array(hash.buffer, 0, digestBytes / 4);
const digestWords = new Uint32Array(batchWritesMax * hashHead.length);
const digestBuffer = Buffer.from(digestWords.buffer);
const callerPlaces = new Uint16Array(batchWritesMax);
const callerFields = createLruMap<Buffer>(10_000);

/** Packs the writes of a batch: at least one, at most `batchWritesMax`, all of one shard. */
export function encodeWrites(writes: readonly CountWrite[]): EncodedWrites {
  const places = new Map<string, number>();
  const writePlaces: number[] = [];
  const operands: number[] = [];
  let kinds = "";
  let requestIds = "";
  let digests = 0;
  const callers = new Map<string, number>();
  for (const { countId, kind, operand, requestId, principal } of writes) {
    let place = places.get(countId);
    if (place === undefined) places.set(countId, (place = places.size + 1));
    writePlaces.push(place);
    operands.push(operand);
    if (requestId === "") {
      kinds += kind;
    } else {
      kinds += kind === "a" ? "A" : "S";
      // What makes a repeated write the same write. SHA-256: its collisions are out of anybody's reach, and 16 bytes of it are
      // short in the store. None of the three texts contains a zero byte.
      Bun.SHA256.hash(`${principal}\0${countId}\0${requestId}`, hash);
      digestWords.set(hashHead, digests * hashHead.length);
      let caller = callers.get(principal);
      if (caller === undefined) callers.set(principal, (caller = callers.size + 1));
      callerPlaces[digests] = caller;
      digests += 1;
    }
    requestIds += requestId;
    requestIds += requestIdSeparator;
  }
  return {
    writes: packAsked({ countIds: [...places.keys()], places: writePlaces, kinds, operands }),
    digests: Buffer.from(digestBuffer.subarray(0, digests * digestBytes)),
    callers: digests === 0 ? nothing : packCallers([...callers.keys()], callerPlaces.subarray(0, digests)),
    requestIds: digests === 0 ? nothing : Buffer.from(requestIds, "latin1"),
  };
}

function packCallers(principals: readonly string[], places: Uint16Array): Buffer {
  const isOne = principals.length === 1;
  const packed = Buffer.allocUnsafe(2 + principals.length * callerFieldBytes + (isOne ? 0 : 2 * places.length));
  let end = packed.writeUInt16LE(principals.length, 0);
  for (const principal of principals) {
    packed.set(callerField(principal), end);
    end += callerFieldBytes;
  }
  if (!isOne) for (const place of places) end = packed.writeUInt16LE(place, end);
  return packed;
}

function callerField(principal: string): Buffer {
  let field = callerFields.get(principal);
  if (field === undefined) {
    Bun.SHA256.hash(principal, hash);
    field = Buffer.concat([Buffer.from("p"), hash.subarray(0, callerFieldBytes - 1)]);
    callerFields.set(principal, field);
  }
  return field;
}

/** Names the keys of a writer on a shard. */
export function batchKeys(shard: number, writerId: string): BatchKeys {
  const keys = keysOf(shard);
  const names = [keys.states, keys.outbox, keys.meta, keys.writer(writerId), ...keys.requests];
  return { names, bytes: Buffer.from(names.map((name) => `$${Buffer.byteLength(name)}\r\n${name}\r\n`).join("")) };
}

/** Puts writes and header together. */
export function encodeBatch(
  keys: BatchKeys,
  header: BatchHeader,
  { writes, digests, requestIds, callers }: EncodedWrites,
): EncodedBatch {
  return {
    keys,
    args: [packHeader(header), writes, digests, requestIds, callers],
  };
}

/** `struct` format of a header. */
export const headerFormat = "<dBBddddd";

function packHeader(header: BatchHeader): Buffer {
  const packed = Buffer.allocUnsafe(50);
  packed.writeDoubleLE(header.sequence, 0);
  packed[8] = header.begin ? 1 : 0;
  packed[9] = header.slots;
  packed.writeDoubleLE(header.memoryMs, 10);
  packed.writeDoubleLE(header.requestWindowMs, 18);
  packed.writeDoubleLE(header.requestIdsMax, 26);
  packed.writeDoubleLE(header.requestIdsPerCallerMax, 34);
  packed.writeDoubleLE(header.outboxBytesMax, 42);
  return packed;
}

/** Reads a reply of the script to a batch of `count` writes. */
export function decodeReply(reply: Buffer, count: number): BatchReply {
  if (reply.length === 1) {
    const word = reply.toString("latin1");
    if (word === "F") return { kind: "outbox_full" };
    if (word === "U") return { kind: "unknown_writer" };
    if (word === "E") return { kind: "evicted" };
  }
  const packed = unpackReply(reply, count);
  const { timeMs, codes } = packed;
  const outcomes: WriteOutcome[] = [];
  let nextReplay = 0;
  for (let place = 0; place < count; place += 1) {
    const value = packed.valueOf(place);
    const revision = packed.revisionOf(place);
    switch (codes[place]) {
      case undefined:
      case "0":
        outcomes.push({ outcome: "applied", value, revision, timeMs });
        break;
      case "1":
        outcomes.push({ outcome: "replayed", value, revision, timeMs: packed.timeOfReplay(nextReplay) });
        nextReplay += 1;
        break;
      case "2":
        outcomes.push({ outcome: "not_found" });
        break;
      case "3":
        outcomes.push({ outcome: "deleted" });
        break;
      case "4":
        outcomes.push({ outcome: "out_of_range", value, bound: revision });
        break;
      case "5":
        outcomes.push({ outcome: "request_id_reused" });
        break;
      case "6":
        outcomes.push({ outcome: "request_ids_full" });
        break;
      case "7":
        outcomes.push({ outcome: "request_ids_of_caller_full" });
        break;
      default:
        throw new Error(`a reply of the counts store has the code ${codes[place]}`);
    }
  }
  return { kind: "done", outcomes };
}
