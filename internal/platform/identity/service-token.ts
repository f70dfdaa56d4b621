import { Code, ConnectError } from "@connectrpc/connect";
import type { Clock } from "../clock/clock.ts";
import { tokenCharsMax } from "./token-claims.ts";

/** How soon a new token in the file is used, at the latest. */
const rereadMs = 5000;

/**
 * Makes a reader of the token that a service shows to others. The file is read at the first call and again when the last look is
 * `rereadMs` old, so that whoever replaces it before the old one ends interrupts nothing; while it cannot be read, the last
 * token serves. Rejects with ConnectError `unavailable` when there was never one.
 */
export function createServiceToken(options: {
  readonly path: string;
  readonly clock: Pick<Clock, "monotonic">;
}): () => Promise<string> {
  const { path, clock } = options;
  let token: string | undefined;
  let readAtMs = Number.NEGATIVE_INFINITY;
  return async () => {
    if (token !== undefined && clock.monotonic() - readAtMs < rereadMs) return token;
    try {
      const text = (await Bun.file(path).text()).trim();
      if (text === "" || text.length > tokenCharsMax) throw new Error(`${path} holds no token`);
      token = text;
    } catch (error) {
      if (token === undefined) {
        const message = "this service has no token to call others with";
        throw new ConnectError(message, Code.Unavailable, undefined, undefined, error);
      }
    }
    readAtMs = clock.monotonic();
    return token;
  };
}
