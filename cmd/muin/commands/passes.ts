import { noun } from "../terminal/command.ts";
import { issue } from "./passes/issue.ts";
import { revoke } from "./passes/revoke.ts";

/** `muin passes`. */
export const passes = noun("passes", "issue and revoke entry passes: the door for who does not give their face", [
  issue,
  revoke,
]);
