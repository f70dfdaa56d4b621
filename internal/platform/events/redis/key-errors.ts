import { replyCode } from "../../redis/driver-errors.ts";

/** Whether the server denies this process a key, and not a command or everything: what it says of a topic, not of itself. */
export function isKeyDenied(error: unknown): boolean {
  return replyCode(error) === "NOPERM" && /\bkeys?\b/.test((error as Error).message);
}

/** What the server says of a stream that takes nothing more, and of a count that is none: whoever may write the topic can bring it about. */
const spoiltTexts = /stream has exhausted the last possible ID|hash value is not an integer|would overflow/;

/** Whether the server cannot add to a key for what is there, which is so for this topic and partition, and not for others. */
export function isKeySpoilt(error: unknown): boolean {
  const code = replyCode(error);
  return code === "WRONGTYPE" || (code === "ERR" && spoiltTexts.test((error as Error).message));
}
