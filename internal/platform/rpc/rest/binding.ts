import type { DescField, DescMessage, JsonReadOptions } from "@bufbuild/protobuf";

/** Where the parts of an HTTP request go in a request message. */
export interface RequestBinding {
  readonly input: DescMessage;
  /** "*" for the whole message, a field for that field, `undefined` for no body. */
  readonly body: "*" | DescField | undefined;
  /** Fields that the path's variables fill, in order, each from the message down. */
  readonly variables: readonly (readonly DescField[])[];
  readonly json: Partial<JsonReadOptions>;
}

/** The field that `path`, of protobuf names, leads to, with those on the way. Throws when there is none. */
export function resolveFields(input: DescMessage, path: readonly string[]): readonly DescField[] {
  const fields: DescField[] = [];
  let message: DescMessage | undefined = input;
  for (const name of path) {
    const field: DescField | undefined = message === undefined ? undefined : fieldNamed(message, name);
    if (field === undefined) throw new Error(`${input.typeName} has no field ${path.join(".")}`);
    fields.push(field);
    message = field.fieldKind === "message" ? field.message : undefined;
  }
  return fields;
}

/** The field by its name in the proto or in JSON. */
export function fieldNamed(message: DescMessage, name: string): DescField | undefined {
  return message.fields.find((field) => field.name === name || field.jsonName === name);
}
