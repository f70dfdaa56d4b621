import type { DescMessage, Message } from "@bufbuild/protobuf";
import { pathToString } from "@bufbuild/protobuf/reflect";
import { createValidator } from "@bufbuild/protovalidate";
import { fieldsInvalid } from "../../resource/errors.ts";
import { compilePlainCheck } from "./plain-checks.ts";
import type { TextCheck } from "./text.ts";

/** Throws INVALID_ARGUMENT with field violations when `message` breaks a rule of its proto. */
export type Validate = (message: Message) => void;

const patterns = new Map<string, RegExp>();

/** The rules are the project's own, so their patterns may run on the platform's engine, several times faster than RE2. */
function matches(pattern: string, against: string): boolean {
  let compiled = patterns.get(pattern);
  if (compiled === undefined) patterns.set(pattern, (compiled = new RegExp(pattern, "u")));
  return compiled.test(against);
}

/** One for the process: planning a message's rules takes milliseconds and is worth doing once. */
const validator = createValidator({ regexMatch: matches });

/** Creates the validation of a message: of its text first, then by its rules. That of a hot method tries a plain check of these. */
export function createValidate(schema: DescMessage, checkText: TextCheck, hot: boolean): Validate {
  const validate: Validate = (message) => {
    const result = validator.validate(schema, message);
    if (result.kind === "valid") return;
    if (result.kind === "error") throw result.error;
    throw fieldsInvalid(
      result.violations.map((violation) => ({
        field: pathToString(violation.field) + (violation.forKey ? " (key)" : ""),
        description: violation.message,
      })),
    );
  };
  // What the plain check passes is valid; what it does not pass gets its details, or its acquittal, from protovalidate.
  const plain = hot ? compilePlainCheck(schema) : undefined;
  return (message) => {
    checkText(message);
    if (plain === undefined || !plain(message)) validate(message);
  };
}
