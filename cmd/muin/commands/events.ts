import { noun } from "../terminal/command.ts";
import { rebuild } from "./events/rebuild.ts";
import { replay } from "./events/replay.ts";
import { republish } from "./events/republish.ts";
import { tail } from "./events/tail.ts";

/** `muin events`. */
export const events = noun("events", "watch events, publish state again, replay a consumer", [
  tail,
  republish,
  replay,
  rebuild,
]);
