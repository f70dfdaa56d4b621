import { type DescMessage, fromJsonString, type MessageShape } from "@bufbuild/protobuf";
import { ValueSchema } from "@bufbuild/protobuf/wkt";
import { ConnectError } from "@connectrpc/connect";
import { reword } from "../../../internal/platform/rpc/call/library-texts.ts";
import { createJsonDecoder } from "../../../internal/platform/rpc/call/wire-text.ts";
import type { Cli } from "../cli.ts";
import { Failure } from "./failure.ts";

/** Bytes that are read at most. */
const bytesMax = 4 << 20;

/** Refuses bytes that are no UTF-8, where the usual decoder puts a replacement character. */
const utf8 = new TextDecoder("utf-8", { fatal: true });

/** Reads a JSON document, in which each key of an object stands once, from a file; "-" is standard input. */
export async function readJson(file: string, stdin: Cli["stdin"]): Promise<string> {
  try {
    const source = file === "-" ? stdin : Bun.file(file).stream();
    return checked(decodeUtf8(await bytesOf(source, file === "-" ? "standard input" : file)));
  } catch (error) {
    if (error instanceof Failure) throw error;
    throw new Failure("usage", `${file} cannot be read as JSON: ${textOf(error)}`);
  }
}

/** The same of an argument: the text itself, "@" and the name of a file, or "-" for standard input. */
export async function readJsonArgument(text: string, stdin: Cli["stdin"]): Promise<string> {
  if (text === "-" || text.startsWith("@")) return await readJson(text.replace(/^@/, ""), stdin);
  try {
    return checked(text);
  } catch (error) {
    throw new Failure("usage", `it is not JSON: ${textOf(error)}`);
  }
}

/** The message that JSON tells. Throws an error in the words in which Muin refuses JSON that it would take for something else. */
export function messageFromJson<M extends DescMessage>(schema: M, json: string): MessageShape<M> {
  try {
    return fromJsonString(schema, createJsonDecoder(schema).decode(Buffer.from(json)));
  } catch (error) {
    throw new Error(textOf(error), { cause: error });
  }
}

/** Throws for what is no JSON, and for an object in which a key stands twice: what it says is not clear. */
function checked(json: string): string {
  JSON.parse(json);
  fromJsonString(ValueSchema, json);
  return json;
}

function decodeUtf8(bytes: Uint8Array): string {
  try {
    return utf8.decode(bytes);
  } catch (error) {
    throw new Error("it is not UTF-8", { cause: error });
  }
}

function textOf(error: unknown): string {
  return reword(
    ConnectError.from(error).rawMessage.replace(/^cannot decode message google\.protobuf\.Value from JSON: /, ""),
  );
}

async function bytesOf(stream: AsyncIterable<Uint8Array>, name: string): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of stream) {
    length += chunk.length;
    if (length > bytesMax) throw new Failure("usage", `${name} is longer than ${bytesMax} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
