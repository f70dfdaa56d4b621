import type { DescMessage, Message } from "@bufbuild/protobuf";
import { pathToString } from "@bufbuild/protobuf/reflect";
import { createValidator } from "@bufbuild/protovalidate";
import { MuinError } from "../errors/muin-error.ts";
import { compilePlainCheck } from "./plain-checks.ts";

/** Throws INVALID_ARGUMENT with field violations when `message` breaks a rule of its proto. */
export type Validate = (message: Message) => void;

/** Creates validators that share what they planned. Those of hot methods try a plain check first. */
export function createValidatorFactory(): (schema: DescMessage, hot: boolean) => Validate {
  const patterns = new Map<string, RegExp>();
  // The rules are the project's own, so their patterns may run on the platform's engine, which is several times faster than RE2.
  const regexMatch = (pattern: string, against: string): boolean => {
    let compiled = patterns.get(pattern);
    if (compiled === undefined) patterns.set(pattern, (compiled = new RegExp(pattern, "u")));
    return compiled.test(against);
  };
  const validator = createValidator({ regexMatch });
  const thorough =
    (schema: DescMessage): Validate =>
    (message) => {
      const result = validator.validate(schema, message);
      if (result.kind === "valid") return;
      if (result.kind === "error") throw result.error;
      const violations = result.violations.map((violation) => ({
        field: pathToString(violation.field) + (violation.forKey ? " (key)" : ""),
        description: violation.message,
      }));
      throw new MuinError({
        code: "invalid_argument",
        reason: "VALIDATION",
        message: violations
          .map(({ field, description }) => (field === "" ? description : `${field}: ${description}`))
          .join("; "),
        violations,
      });
    };
  return (schema, hot) => {
    const validate = thorough(schema);
    // What the plain check passes is valid; what it does not pass gets its details, or its acquittal, from protovalidate.
    const plain = hot ? compilePlainCheck(schema) : undefined;
    if (plain === undefined) return validate;
    return (message) => {
      if (!plain(message)) validate(message);
    };
  };
}
