import type { Message } from "@bufbuild/protobuf";
import type { Call } from "../call/call.ts";
import { readBytes } from "../call/read-bytes.ts";
import type { Serialization } from "../call/serialization.ts";

/** How a message is encoded. */
export type Encoding = "binary" | "json";

/** The content types of plain unary Connect. */
export const contentTypes: Readonly<Record<Encoding, string>> = {
  binary: "application/proto",
  json: "application/json",
};

/** How the message of a plain unary request is encoded; `undefined` when the request is of any other form. */
export function encodingOf({ method, headers }: Request): Encoding | undefined {
  if (method !== "POST" || headers.has("content-encoding")) return undefined;
  const contentType = headers.get("content-type");
  if (contentType === contentTypes.binary) return "binary";
  return contentType === contentTypes.json ? "json" : undefined;
}

/** Reads the message of a call's plain unary request: `bytesMax` bytes at the most. `prove` gets it as it was sent. */
export async function readMessage(
  call: Call,
  request: Request,
  bytesMax: number,
  serialization: Pick<Serialization, "parse">,
  prove: ((body: Uint8Array) => Promise<void>) | undefined,
): Promise<Message> {
  const body = await readBytes(call, request, bytesMax);
  if (prove !== undefined) await prove(body);
  return serialization.parse(call, body);
}
