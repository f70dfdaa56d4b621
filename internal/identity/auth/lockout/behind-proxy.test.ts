import { describe, expect, test } from "bun:test";
import { partsOf } from "../../../platform/service/parts.ts";
import { startHttpServer } from "../../../platform/testing/http-server.ts";
import { startAuth } from "../auth-fixture.ts";

/** Auth behind one trusted proxy, asked over REST with what the proxy says: sign-ins of ever new addresses, all wrong. */
async function statusesOf(forwardedFor: readonly (string | undefined)[]): Promise<readonly number[]> {
  await using auth = await startAuth();
  await using server = await startHttpServer(partsOf(auth.parts, "served"), { clock: auth.clock, trustedHops: 1 });
  const statuses: number[] = [];
  for (const [index, forwarded] of forwardedFor.entries()) {
    const { status } = await fetch(`${server.url}/api/v1/auth:signIn`, {
      method: "POST",
      headers: {
        "content-type": "application/json",
        ...(forwarded === undefined ? {} : { "x-forwarded-for": forwarded }),
      },
      body: JSON.stringify({ email: `a${index}@example.org`, password: "wrong horse battery" }),
    });
    statuses.push(status);
  }
  return statuses;
}

const times = <T>(make: (index: number) => T): readonly T[] => Array.from({ length: 102 }, (_, index) => make(index));

describe("the 101st wrong sign-in of one network is refused, however a proxy writes the address", () => {
  test.each<readonly [name: string, forwardedFor: (index: number) => string | undefined]>([
    ["a plain address", () => "198.51.100.9"],
    ["an address with ever new ports", (index) => `198.51.100.10:${50_000 + index}`],
    ["an IPv6 address in brackets with ever new ports", (index) => `[2001:db8:1::1]:${50_000 + index}`],
    ["IPv6 addresses of one subscriber", (index) => `2001:db8:2::${index.toString(16)}`],
    ["an IPv6 address in brackets", () => "[2001:db8:3::1]"],
    ["an address in quotes", (index) => `"[2001:db8:4::1]:${50_000 + index}"`],
    ["what a caller wrote before it", (index) => `192.0.2.${index}, 198.51.100.11:${50_000 + index}`],
    ["what is no address: the proxy's own counts", (index) => (index % 2 === 0 ? "unknown" : `_hidden${index}`)],
    ["an empty one", (index) => (index % 2 === 0 ? "" : undefined)],
  ])("%s", async (_name, forwardedFor) => {
    const statuses = await statusesOf(times(forwardedFor));
    expect(statuses).toEqual([...Array.from({ length: 100 }, () => 401), 429, 429]);
  });
});
