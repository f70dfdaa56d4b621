/** Ends a switch over a closed union: compiles only when every member was handled. */
export function assertNever(value: never): never {
  throw new Error(`unhandled member: ${JSON.stringify(value)}`);
}
