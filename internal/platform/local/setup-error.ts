/**
 * Something about the machine or the settings that the person who starts Muin must change. The message is complete: what is
 * wrong, and what to install, set or end; print it without a stack.
 */
export class SetupError extends Error {
  override readonly name = "SetupError";
}
