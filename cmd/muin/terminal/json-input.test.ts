import { expect, test } from "bun:test";
import { join } from "node:path";
import { IncrementRequestSchema } from "../../../internal/gen/muin/count/v1/count_write_service_pb.ts";
import { importMutant } from "../../../internal/platform/testing/mutant.ts";
import { messageFromJson, readJsonArgument } from "./json-input.ts";

type JsonInput = typeof import("./json-input.ts");

async function* stdinOf(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

/** What an argument, "-" for these bytes of standard input, makes of a request for an increment. */
async function outcomeOf(input: JsonInput, argument: string, bytes = new Uint8Array()): Promise<string> {
  try {
    const { countId, delta } = input.messageFromJson(
      IncrementRequestSchema,
      await input.readJsonArgument(argument, stdinOf(bytes)),
    );
    return `${countId} ${delta}`;
  } catch (error) {
    return (error as Error).message;
  }
}

const real = { messageFromJson, readJsonArgument } as JsonInput;
const notUtf8 = Buffer.from('{"count_id":"caf\u00e9"}', "latin1");

test.each([
  ['{"count_id":"visits","delta":"2"}', "visits 2"],
  ['{"countId":"visits","delta":2e1}', "visits 20"],
  ["{", "it is not JSON: JSON Parse error: Expected '}'"],
  ['{"delta":"1","delta":"2"}', 'it is not JSON: duplicate object key "delta"'],
  ['{"delta":"1","d\\u0065lta":"2"}', 'it is not JSON: duplicate object key "delta"'],
  ['{"delta":1.00000000000000000001}', "delta must be a whole number: decimal digits alone"],
  ['{"delta":9007199254740993}', "delta must be written as text, in quotes: a JSON number of this size is not exact"],
  ['{"delta":"x"}', "delta must be a whole number: decimal digits alone"],
  ["@/nonexistent", expect.stringMatching(/^\/nonexistent cannot be read as JSON: /)],
])("--data %s", async (argument, outcome) => {
  expect(await outcomeOf(real, argument)).toEqual(outcome as string);
});

test("standard input that is not UTF-8 is refused", async () => {
  expect(await outcomeOf(real, "-", Buffer.from('{"count_id":"caf\u00e9"}'))).toBe("caf\u00e9 undefined");
  expect(await outcomeOf(real, "-", notUtf8)).toBe("- cannot be read as JSON: it is not UTF-8");
});

test("half of a surrogate pair is left for Muin to refuse by its field, not replaced", () => {
  expect(messageFromJson(IncrementRequestSchema, '{"count_id":"a\\ud800"}').countId).toBe("a\0");
});

test.each<[what: string, from: string, to: string, argument: string, outcome: string]>([
  ["keys twice", "fromJsonString(ValueSchema, json);", "", '{"delta":"1","delta":"2"}', "duplicate"],
  [
    "fractions",
    "createJsonDecoder(schema).decode(Buffer.from(json))",
    "json",
    '{"delta":1.00000000000000000001}',
    "whole",
  ],
  ["other bytes", "{ fatal: true }", "{}", "-", "UTF-8"],
])("mutant: %s", async (_what, from, to, argument, outcome) => {
  const mutant = await importMutant<JsonInput>(join(import.meta.dir, "json-input.ts"), from, to);
  expect(await outcomeOf(real, argument, notUtf8)).toContain(outcome);
  expect(await outcomeOf(mutant, argument, notUtf8)).not.toMatch(/^it is not JSON: duplicate|whole|not UTF-8/);
});
