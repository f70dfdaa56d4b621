import type { Registry } from "@bufbuild/protobuf";
import type { ConnectError } from "@connectrpc/connect";
import {
  mergeNonProtocolHeaders,
  universalServerResponseToFetch,
  type UniversalServerResponse,
} from "@connectrpc/connect/protocol";
import { codeToHttpStatus, errorToJsonBytes, trailerMux } from "@connectrpc/connect/protocol-connect";
import type { CallContext } from "../call/call-context.ts";
import { contentTypes, type Encoding } from "./read-request.ts";

const plainHeaders = {
  binary: { "content-type": contentTypes.binary },
  json: { "content-type": contentTypes.json },
} as const;

/** A plain unary response with the headers and trailers that the handler set. */
export function respond(status: number, body: Uint8Array, encoding: Encoding, context: CallContext): Response {
  const { usedResponseHeader: header, usedResponseTrailer: trailer } = context;
  if (header === undefined && trailer === undefined) {
    return new Response(body as Uint8Array<ArrayBuffer>, { status, headers: plainHeaders[encoding] });
  }
  const headers = trailerMux(header ?? new Headers(), trailer ?? new Headers());
  headers.set("content-type", contentTypes[encoding]);
  return new Response(body as Uint8Array<ArrayBuffer>, { status, headers });
}

/** The plain unary response to an error. */
export function respondError(error: ConnectError, registry: Registry, context: CallContext): Response {
  if (!error.isWireError && !isEmpty(error.metadata)) mergeNonProtocolHeaders(context.responseHeader, error.metadata);
  return respond(codeToHttpStatus(error.code), errorToJsonBytes(error, { registry }), "json", context);
}

/** A response of the library. A unary reply is whole and knows its length: sent in one piece, where a stream would come chunked. */
export async function toFetch(response: UniversalServerResponse): Promise<Response> {
  const { body, header, status } = response;
  if (body === undefined || header?.has("content-length") !== true) return universalServerResponseToFetch(response);
  return new Response(Buffer.concat(await Array.fromAsync(body)), { status, headers: header });
}

function isEmpty(headers: Headers): boolean {
  for (const _ of headers) return false;
  return true;
}
