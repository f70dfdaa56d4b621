import type { JsonValue } from "@bufbuild/protobuf";
import type { Cli } from "../cli.ts";
import { Failure } from "./failure.ts";

/** Bytes that are read at most. */
const bytesMax = 4 << 20;

/** Reads a JSON document from a file; "-" is standard input. */
export async function readJson(file: string, stdin: Cli["stdin"]): Promise<JsonValue> {
  try {
    const source = file === "-" ? stdin : Bun.file(file).stream();
    return JSON.parse(await textOf(source, file === "-" ? "standard input" : file)) as JsonValue;
  } catch (error) {
    if (error instanceof Failure) throw error;
    throw new Failure(
      "usage",
      `${file} cannot be read as JSON: ${error instanceof Error ? error.message : String(error)}`,
    );
  }
}

/** Reads a JSON document from an argument: the text itself, "@" and the name of a file, or "-" for standard input. */
export async function readJsonArgument(text: string, stdin: Cli["stdin"]): Promise<JsonValue> {
  if (text === "-" || text.startsWith("@")) return await readJson(text.replace(/^@/, ""), stdin);
  try {
    return JSON.parse(text) as JsonValue;
  } catch (error) {
    throw new Failure("usage", `it is not JSON: ${error instanceof Error ? error.message : String(error)}`);
  }
}

async function textOf(stream: AsyncIterable<Uint8Array>, name: string): Promise<string> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of stream) {
    length += chunk.length;
    if (length > bytesMax) throw new Failure("usage", `${name} is longer than ${bytesMax} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}
