import type { JsonObject } from "@bufbuild/protobuf";
import { Validator } from "@seriousme/openapi-schema-validator";

/** Checks a document against the schema of its OpenAPI version. */
export async function validate(document: JsonObject): Promise<{ valid: boolean; errors?: unknown }> {
  const result = await new Validator().validate(document);
  return result.valid ? { valid: true } : { valid: false, errors: result.errors };
}
