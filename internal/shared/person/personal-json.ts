import { create, toJson, type DescMessage, type JsonObject, type MessageInitShape } from "@bufbuild/protobuf";

/** A message as the JSON that a person reads: every field is there, also one that says nothing. */
export function personalJson<M extends DescMessage>(schema: M, message: MessageInitShape<M>): JsonObject {
  return toJson(schema, create(schema, message), { alwaysEmitImplicit: true }) as JsonObject; // A message is an object.
}
