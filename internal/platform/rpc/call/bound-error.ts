import { fromBinary, type DescMessage, type MessageInitShape } from "@bufbuild/protobuf";
import { ConnectError } from "@connectrpc/connect";
import { setTrailerStatus } from "@connectrpc/connect/protocol-grpc";
import { BadRequestSchema, ErrorInfoSchema, RetryInfoSchema } from "../../../gen/google/rpc/error_details_pb.ts";
import { andMore, violationsShownMax } from "../../resource/errors.ts";

/**
 * Bytes of the headers that say over gRPC how a call failed, each with its name and the 32 that HTTP/2 counts for an entry. Clients
 * take 8 KiB of headers unless told otherwise, and of more they tell their caller nothing.
 */
export const statusBytesMax = 4096;

/** Characters of message and details that stay within that, whatever they are. */
const smallChars = 200;
/** Of an error that must be cut: bytes of its message in a header, of one text in a detail, and of all metadata. */
const messageBytesMax = 1024;
const textBytesMax = 192;
const metadataBytesMax = 512;
/** https://www.rfc-editor.org/rfc/rfc9113#section-6.5.2 */
const headerEntryBytes = 32;

type Detail = ConnectError["details"][number];

/**
 * An error as it may go out in any lane: itself when it is small, as nearly all are. Else with the first violations "and N more"; if
 * need be with texts cut, fewer violations, and of the details at last only the reason and when to try again.
 */
export function boundError(error: ConnectError): ConnectError {
  if (isSmall(error)) return error;
  const details = error.details.map(parsed);
  const listed = change(
    error,
    error.rawMessage.toWellFormed(),
    details.map((detail) => firstViolations(detail, violationsShownMax)),
  );
  for (const [name, value] of error.metadata) listed.metadata.append(name, value);
  if (statusBytes(listed) <= statusBytesMax) return listed;
  const message = cutText(error.rawMessage, messageBytesMax, headerBytes);
  const cut = details.map(cutTexts);
  for (let shown = violationsShownMax; shown > 0; shown -= 1) {
    const fewer = change(
      error,
      message,
      cut.map((detail) => firstViolations(detail, shown)),
    );
    if (statusBytes(fewer) <= statusBytesMax) return fewer;
  }
  return change(
    error,
    message,
    cut.filter((detail) => isOf(detail, ErrorInfoSchema) || isOf(detail, RetryInfoSchema)),
  );
}

/** Whether an error is small without a doubt, by a look at its texts alone. */
function isSmall({ rawMessage, details, metadata }: ConnectError): boolean {
  let chars = rawMessage.length;
  for (const detail of details) {
    if (isOf(detail, ErrorInfoSchema)) {
      for (const [name, value] of Object.entries(detail.value.metadata ?? {})) chars += name.length + value.length;
    } else if (!isOf(detail, RetryInfoSchema)) {
      return false;
    }
  }
  return chars <= smallChars && rawMessage.isWellFormed() && [...metadata].length === 0;
}

/** Bytes of the headers that say over gRPC, or gRPC-Web, which spells the message at greater length, how a call failed. */
function statusBytes(error: ConnectError): number {
  let bytes = 0;
  for (const [name, value] of setTrailerStatus(new Headers(), error)) {
    bytes += name.length + value.length + headerEntryBytes;
  }
  return bytes;
}

/** The same error with another message and other details, and without metadata. */
function change(error: ConnectError, message: string, details: ConnectError["details"]): ConnectError {
  const changed = new ConnectError(message, error.code, undefined, undefined, error.cause);
  changed.details = details;
  changed.isWireError = error.isWireError;
  return changed;
}

function isOf<T extends DescMessage>(
  detail: Detail,
  schema: T,
): detail is { readonly desc: T; readonly value: MessageInitShape<T> } {
  return "desc" in detail && detail.desc.typeName === schema.typeName;
}

/** A detail as a message, where it came as bytes of a type that is known here. */
function parsed(detail: Detail): Detail {
  if ("desc" in detail) return detail;
  const desc = [ErrorInfoSchema, BadRequestSchema, RetryInfoSchema].find(({ typeName }) => typeName === detail.type);
  try {
    return desc === undefined ? detail : { desc, value: fromBinary(desc as DescMessage, detail.value) };
  } catch {
    return detail; // It is no message of its type: passed on as it came.
  }
}

function firstViolations(detail: Detail, shown: number): Detail {
  if (!isOf(detail, BadRequestSchema)) return detail;
  const all = detail.value.fieldViolations ?? [];
  if (all.length <= shown) return detail;
  const rest = { field: "", description: andMore(all.length - shown) };
  return { ...detail, value: { fieldViolations: [...all.slice(0, shown), rest] } };
}

function cutTexts(detail: Detail): Detail {
  if (isOf(detail, BadRequestSchema)) {
    const fieldViolations = (detail.value.fieldViolations ?? []).map(({ field = "", description = "" }) => ({
      field: cutText(field, textBytesMax, utf8Bytes),
      description: cutText(description, textBytesMax, utf8Bytes),
    }));
    return { ...detail, value: { fieldViolations } };
  }
  if (!isOf(detail, ErrorInfoSchema)) return detail;
  const metadata: Record<string, string> = {};
  let left = metadataBytesMax;
  for (const [name, text] of Object.entries(detail.value.metadata ?? {})) {
    const value = cutText(text, textBytesMax, utf8Bytes);
    left -= utf8Bytes(name) + utf8Bytes(value);
    if (left < 0) break;
    metadata[name] = value;
  }
  return { ...detail, value: { ...detail.value, metadata } };
}

/** As much of a text as has so many bytes, with "…" where something is left out. */
function cutText(text: string, bytesMax: number, bytesOf: (text: string) => number): string {
  const whole = text.length > bytesMax ? text.slice(0, bytesMax).toWellFormed() : text.toWellFormed();
  if (whole.length === text.length && bytesOf(whole) <= bytesMax) return whole;
  let left = bytesMax - bytesOf("…");
  let cut = "";
  for (const character of whole) {
    left -= bytesOf(character);
    if (left < 0) break;
    cut += character;
  }
  return `${cut}…`;
}

function headerBytes(text: string): number {
  return encodeURIComponent(text).length;
}

function utf8Bytes(text: string): number {
  return Buffer.byteLength(text);
}
