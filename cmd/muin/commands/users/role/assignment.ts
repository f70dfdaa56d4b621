import { namesOf } from "../../../terminal/values.ts";
import { roles, userArgument } from "../person.ts";

/** Whose role a command is about, and which. */
export const assignmentArguments = {
  user: userArgument,
  role: { help: "which one", choices: namesOf(roles) },
} as const;

/** Where the role is held. */
export const assignmentOptions = {
  branch: { value: "branch-id", help: "of this branch only (default: everywhere)" },
} as const;
