import { noun } from "../../terminal/command.ts";
import { end } from "./membership/end.ts";
import { pause } from "./membership/pause.ts";
import { resume } from "./membership/resume.ts";
import { set } from "./membership/set.ts";

/** `muin users membership`. */
export const membership = noun("membership", "set, pause, resume and end memberships", [set, pause, resume, end]);
