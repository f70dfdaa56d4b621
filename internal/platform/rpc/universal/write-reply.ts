import { MethodOptions_IdempotencyLevel } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import {
  encodeEnvelope,
  type UniversalServerRequest,
  type UniversalServerResponse,
} from "@connectrpc/connect/protocol";
import {
  codeToHttpStatus,
  endStreamFlag,
  endStreamFromJson,
  endStreamToJson,
  errorFromJsonBytes,
  errorToJsonBytes,
} from "@connectrpc/connect/protocol-connect";
import { findTrailerError, setTrailerStatus } from "@connectrpc/connect/protocol-grpc";
import type { Call } from "../call/call.ts";
import { callErrors, connectError } from "../call/errors.ts";
import type { CallLife } from "../call/life.ts";
import { single } from "../call/single.ts";
import { ProtocolFailure } from "../call/map-error.ts";
import { protocolOf, type Protocol } from "./read-request.ts";

const trailerFlagGrpcWeb = 0x80;
const envelopeHeaderBytes = 5;

/**
 * Gives the errors that the library made itself (a body that does not parse, one that is too large, one that came too late) the
 * codes and reasons that all others have, and ends the call with the response's last byte.
 */
export async function reviseResponse(
  request: UniversalServerRequest,
  response: UniversalServerResponse,
  call: Call,
  life: CallLife,
): Promise<UniversalServerResponse> {
  const { body } = response;
  if (body === undefined) {
    const isSafe = call.plan.method.idempotency === MethodOptions_IdempotencyLevel.NO_SIDE_EFFECTS;
    const allowed = protocolOf(request.header) === "connect" && isSafe ? "GET, HEAD, POST" : "POST";
    const error = life.fail(call, new ProtocolFailure(explainStatus(request, response.status, allowed)));
    life.end(call);
    // A client goes by the status, whatever its protocol; the text is for whoever tries the call by hand.
    const header = new Headers(response.header);
    header.set("content-type", "text/plain; charset=utf-8");
    if (response.status === 405) header.set("allow", allowed);
    return { ...response, header, body: single(new TextEncoder().encode(`${error.rawMessage}\n`)) };
  }
  const protocol = protocolOf(request.header);
  const contentType = response.header?.get("content-type") ?? "";
  if (protocol === "connect" && !contentType.startsWith("application/connect")) {
    return reviseUnary(response, body, call, life);
  }
  return { ...response, body: reviseBody(body, response.trailer, protocol, call, life) };
}

/** The body of a response that ends with the call's outcome: in its last chunk or, with gRPC, in `trailer`. */
function reviseBody(
  body: AsyncIterable<Uint8Array>,
  trailer: Headers | undefined,
  protocol: Protocol,
  call: Call,
  life: CallLife,
): AsyncIterable<Uint8Array> {
  const cut = (): void => {
    // The caller went away before the stream's end.
    if (!call.isOver) life.fail(call, new ProtocolFailure(connectError(callErrors.table.canceled)));
    life.end(call);
  };
  const revise = (chunk: Uint8Array): Uint8Array =>
    call.failure === undefined && isEnd(protocol, chunk) ? reviseEnd(protocol, chunk, call, life) : chunk;
  return {
    [Symbol.asyncIterator]: () => {
      const inner = body[Symbol.asyncIterator]();
      return {
        next: async () => {
          try {
            const result = await inner.next();
            if (result.done !== true) return { done: false, value: revise(result.value) };
            if (protocol === "grpc" && trailer !== undefined) {
              reviseTrailer(trailer, call, life);
              spellMessage(trailer);
            }
            life.end(call);
            return result;
          } catch (error) {
            life.fail(call, error);
            life.end(call);
            throw error;
          }
        },
        throw: async (error) => {
          cut();
          return (await inner.throw?.(error)) ?? { done: true, value: undefined };
        },
        return: async () => {
          cut();
          return (await inner.return?.()) ?? { done: true, value: undefined };
        },
      };
    },
  };
}

/** What the library answered by its status alone: a wrong HTTP method, content type or HTTP version. */
function explainStatus({ method, header }: UniversalServerRequest, status: number, allowed: string): ConnectError {
  switch (status) {
    case 415: {
      if (method === "GET") {
        return new ConnectError("a GET names its encoding: encoding=json or encoding=proto", Code.InvalidArgument);
      }
      const type = header.get("content-type");
      if (type?.startsWith("application/grpc-web-text") === true) {
        return new ConnectError(
          "gRPC-Web is served in binary: content-type application/grpc-web+proto",
          Code.InvalidArgument,
        );
      }
      const found = type === null ? "there is no content-type" : `content-type ${type} is not taken here`;
      return new ConnectError(
        `${found}: send JSON with content-type: application/json, or what Connect, gRPC or gRPC-Web asks for`,
        Code.InvalidArgument,
      );
    }
    case 405:
      return new ConnectError(`${method} is not served here, but ${allowed}`, Code.Unimplemented);
    default:
      return new ConnectError(`HTTP ${status}`, Code.InvalidArgument);
  }
}

async function reviseUnary(
  response: UniversalServerResponse,
  body: AsyncIterable<Uint8Array>,
  call: Call,
  life: CallLife,
): Promise<UniversalServerResponse> {
  try {
    if (response.status === 200 || call.failure !== undefined) return response;
    const header = response.header ?? new Headers();
    const chunks = await Array.fromAsync(body);
    const bytes = Buffer.concat(chunks);
    const fallback = new ConnectError("internal error", Code.Internal);
    const made = header.has("content-encoding") ? fallback : errorFromJsonBytes(bytes, undefined, fallback);
    const error = life.fail(call, new ProtocolFailure(made));
    const revised = errorToJsonBytes(error, undefined);
    header.delete("content-encoding");
    header.set("content-length", String(revised.byteLength));
    return { ...response, status: codeToHttpStatus(error.code), header, body: single(revised) };
  } finally {
    life.end(call);
  }
}

/** Whether a chunk, which holds one envelope, is the uncompressed end of a stream. */
function isEnd(protocol: Protocol, chunk: Uint8Array): boolean {
  if (protocol === "connect") return chunk[0] === endStreamFlag;
  return protocol === "grpc-web" && chunk[0] === trailerFlagGrpcWeb;
}

function reviseEnd(protocol: Protocol, chunk: Uint8Array, call: Call, life: CallLife): Uint8Array {
  const data = chunk.subarray(envelopeHeaderBytes);
  if (protocol === "connect") {
    const message = endStreamFromJson(data);
    if (message.error === undefined) return chunk;
    const revised = { ...message, error: life.fail(call, new ProtocolFailure(message.error)) };
    return encodeEnvelope(
      endStreamFlag,
      new TextEncoder().encode(JSON.stringify(endStreamToJson(revised.metadata, revised.error, undefined))),
    );
  }
  const trailer = new Headers();
  for (const line of new TextDecoder().decode(data).split("\r\n")) {
    const colon = line.indexOf(":");
    if (colon > 0) trailer.append(line.slice(0, colon).trim(), line.slice(colon + 1).trim());
  }
  if (!reviseTrailer(trailer, call, life)) return chunk;
  const lines = [...trailer].map(([name, value]) => `${name}: ${value}\r\n`);
  return encodeEnvelope(trailerFlagGrpcWeb, new TextEncoder().encode(lines.join("")));
}

/**
 * Escapes no more of the message in a trailer than gRPC asks for: all but printable ASCII, and "%". The library escapes ":" and "/" too,
 * which some clients leave as they come.
 */
export function spellMessage(trailer: Headers): void {
  const message = trailer.get("grpc-message");
  if (message === null) return;
  trailer.set("grpc-message", decodeURIComponent(message).replace(/[^ -$&-~]+/g, encodeURIComponent));
}

function reviseTrailer(trailer: Headers, call: Call, life: CallLife): boolean {
  if (call.failure !== undefined) return false;
  const made = findTrailerError(trailer);
  if (made === undefined) return false;
  setTrailerStatus(trailer, life.fail(call, new ProtocolFailure(made)));
  return true;
}
