import type { KeyObject } from "node:crypto";
import type { Clock } from "../clock/clock.ts";
import type { Random } from "../clock/random.ts";
import { signatureHeader, signCall } from "./signed-call.ts";

const nonceBytes = 16;

/**
 * Makes a fetch that signs each request with a device's key before it goes out through `send`, for a Connect client on the device:
 * unary calls, not compressed, not GET.
 */
export function createSigningFetch(options: {
  readonly privateKey: KeyObject;
  readonly clock: Pick<Clock, "now">;
  readonly random: Pick<Random, "bytes">;
  readonly send: (request: Request) => Promise<Response>;
}): (request: Request) => Promise<Response> {
  const { privateKey, clock, random, send } = options;
  return async (request) => {
    const body = await request.bytes();
    const headers = new Headers(request.headers);
    // The base URL may have a path of its own: the method is what ends it.
    const method = `/${new URL(request.url).pathname.split("/").slice(-2).join("/")}`;
    const nonce = Buffer.from(random.bytes(nonceBytes)).toString("base64url");
    headers.set(signatureHeader, signCall(privateKey, { method, body, timeMs: clock.now(), nonce }));
    return send(new Request(request.url, { method: request.method, headers, body, signal: request.signal }));
  };
}
