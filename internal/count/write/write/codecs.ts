import { toBinary, type Message } from "@bufbuild/protobuf";
import { StatusSchema, type Status } from "../../../gen/google/rpc/status_pb.ts";
import {
  CountWriteService,
  type BatchWriteRequest,
  type Write,
} from "../../../gen/muin/count/v1/count_write_service_pb.ts";
import { codecFor, type Codec } from "../../../platform/service/codec.ts";
import { bytesOf, printable, WireReader } from "../../shared/wire-reader.ts";
import { WireWriter } from "../../shared/wire-writer.ts";
import type { AppliedWrite } from "./batch.ts";
import { AppliedReply, BatchReply, isStatus } from "./replies.ts";

// The rules of the protos, as far as a request that keeps them is taken: a test holds them to protovalidate.
const idCharactersMax = 128;
const idStart = /^[a-z0-9]/;
const idBytes = bytesOf("abcdefghijklmnopqrstuvwxyz0123456789._-");
const requestIdCharactersMin = 8;
const requestIdCharactersMax = 64;
const requestIdBytes = printable;
const writesMax = 1000;

/** Bytes of an applied write beside those of its Count's id, at most, with what stands around it. */
const appliedBytesMax = 80;
/** Bytes of what stands around an error. */
const aroundErrorBytesMax = 16;

const writer = new WireWriter();

/** The codecs of the service: they read requests that keep every rule, and write the replies of its own handlers. */
export const countWriteCodecs: readonly Codec[] = [
  codecFor(CountWriteService.method.increment, {
    read: (body) => readChange("muin.count.v1.IncrementRequest", body),
    write: writeReply,
  }),
  codecFor(CountWriteService.method.decrement, {
    read: (body) => readChange("muin.count.v1.DecrementRequest", body),
    write: writeReply,
  }),
  codecFor(CountWriteService.method.set, { read: readSet, write: writeReply }),
  codecFor(CountWriteService.method.batchWrite, { read: readBatch, write: writeBatch }),
];

/** What the requests for one write have in common: fields 1, 2 and 3. */
interface Single {
  readonly countId: string;
  readonly operand: number | undefined;
  readonly requestId: string;
}

function readSingle(body: Uint8Array): Single | undefined {
  const reader = new WireReader(body);
  let countId = "";
  let operand: number | undefined;
  let requestId = "";
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    switch (tag) {
      case 0x0a: // 1: count_id
        countId = reader.text(idBytes);
        break;
      case 0x10: // 2: delta or value
        operand = reader.int64();
        break;
      case 0x1a: // 3: request_id
        requestId = reader.text(requestIdBytes);
        break;
      default:
        reader.refuse();
    }
  }
  return reader.isRefused || !isCountId(countId) || !isRequestId(requestId)
    ? undefined
    : { countId, operand, requestId };
}

function readChange<N extends string>(
  $typeName: N,
  body: Uint8Array,
): (Message<N> & { countId: string; delta?: bigint; requestId: string }) | undefined {
  const single = readSingle(body);
  if (single === undefined) return undefined;
  const { countId, operand, requestId } = single;
  if (operand === undefined) return { $typeName, countId, requestId };
  return operand < 1 ? undefined : { $typeName, countId, delta: BigInt(operand), requestId };
}

function readSet(
  body: Uint8Array,
): (Message<"muin.count.v1.SetRequest"> & { countId: string; value?: bigint; requestId: string }) | undefined {
  const single = readSingle(body);
  if (single?.operand === undefined) return undefined;
  const { countId, operand, requestId } = single;
  return { $typeName: "muin.count.v1.SetRequest", countId, value: BigInt(operand), requestId };
}

function readBatch(body: Uint8Array): BatchWriteRequest | undefined {
  const reader = new WireReader(body);
  const writes: Write[] = [];
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag !== 0x0a || writes.length === writesMax) return undefined; // 1: writes
    const outer = reader.enter();
    const write = readWrite(reader);
    if (write === undefined) return undefined;
    reader.leave(outer);
    writes.push(write);
  }
  if (reader.isRefused || writes.length === 0) return undefined;
  return { $typeName: "muin.count.v1.BatchWriteRequest", writes };
}

function readWrite(reader: WireReader): Write | undefined {
  let countId = "";
  let name: "increment" | "decrement" | "set" | undefined;
  let operand = 0;
  let requestId = "";
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    switch (tag) {
      case 0x0a: // 1: count_id
        countId = reader.text(idBytes);
        break;
      case 0x10: // 2: increment
        name = "increment";
        operand = reader.int64();
        break;
      case 0x18: // 3: decrement
        name = "decrement";
        operand = reader.int64();
        break;
      case 0x20: // 4: set
        name = "set";
        operand = reader.int64();
        break;
      case 0x2a: // 5: request_id
        requestId = reader.text(requestIdBytes);
        break;
      default:
        reader.refuse();
    }
  }
  if (reader.isRefused || name === undefined || (name !== "set" && operand < 1)) return undefined;
  if (!isCountId(countId) || !isRequestId(requestId)) return undefined;
  return { $typeName: "muin.count.v1.Write", countId, operation: { case: name, value: BigInt(operand) }, requestId };
}

/** Whether a text of characters that may stand in an id is one. */
function isCountId(text: string): boolean {
  return text.length <= idCharactersMax && idStart.test(text);
}

/** Whether a text of characters that may stand in a request id is one, or none was given. */
function isRequestId({ length }: string): boolean {
  return length === 0 || (length >= requestIdCharactersMin && length <= requestIdCharactersMax);
}

function writeReply(reply: object): Uint8Array | undefined {
  if (!(reply instanceof AppliedReply)) return undefined;
  writer.reset();
  writeApplied(reply.countId, reply.write);
  return writer.finish();
}

function writeBatch(reply: object): Uint8Array | undefined {
  if (!(reply instanceof BatchReply)) return undefined;
  const { countIds, told } = reply;
  writer.reset();
  let status: Status | undefined;
  let statusBytes = new Uint8Array();
  for (let place = 0; place < told.length; place += 1) {
    const each = told[place]!;
    if (isStatus(each)) {
      // Writes that failed together share one.
      if (each !== status) statusBytes = toBinary(StatusSchema, (status = each));
      writer.reserve(aroundErrorBytesMax + statusBytes.length);
      writer.byte(0x0a); // 1: results
      const result = writer.open();
      writer.byte(0x12); // 2: error
      writer.part(statusBytes, 0, statusBytes.length);
      writer.close(result);
    } else {
      const countId = countIds[place]!;
      writer.reserve(appliedBytesMax + countId.length);
      writer.byte(0x0a); // 1: results
      const result = writer.open();
      writer.byte(0x0a); // 1: success
      const success = writer.open();
      writeApplied(countId, each);
      writer.close(success);
      writer.close(result);
    }
  }
  return writer.finish();
}

/** The fields of an applied write's reply, and of a WriteSuccess. */
function writeApplied(countId: string, { value, revision, timeMs, outcome }: AppliedWrite): void {
  writer.reserve(appliedBytesMax + countId.length);
  writer.byte(0x0a); // 1: value
  const countValue = writer.open();
  writer.byte(0x0a); // 1: count_id
  writer.ascii(countId);
  if (value !== 0) {
    writer.byte(0x10); // 2: value
    writer.int64(value);
  }
  writer.byte(0x18); // 3: revision
  writer.int64(revision);
  writer.byte(0x22); // 4: update_time
  writer.timestamp(timeMs);
  writer.close(countValue);
  if (outcome === "replayed") {
    writer.byte(0x10); // 2: replayed
    writer.byte(1);
  }
}
