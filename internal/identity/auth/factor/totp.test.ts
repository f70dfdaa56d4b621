import { expect, test } from "bun:test";
import { base32, matchTotp, totpCode, totpStepAt, totpUri } from "./totp.ts";

const secret = Buffer.from("12345678901234567890");

/** RFC 6238, appendix B, SHA-1: the last six of its eight digits. */
test.each([
  [59, "287082"],
  [1111111109, "081804"],
  [1111111111, "050471"],
  [1234567890, "005924"],
  [2000000000, "279037"],
  [20000000000, "353130"],
])("at %d seconds the code is %s", (seconds, code) => {
  expect(totpCode(secret, totpStepAt(seconds * 1000))).toBe(code);
});

/** RFC 4648, section 10. */
test.each([
  ["", ""],
  ["f", "MY"],
  ["fo", "MZXQ"],
  ["foo", "MZXW6"],
  ["foob", "MZXW6YQ"],
  ["fooba", "MZXW6YTB"],
  ["foobar", "MZXW6YTBOI"],
])("base32 of %p is %p", (plain, encoded) => {
  expect(base32(Buffer.from(plain))).toBe(encoded);
});

test("a code is good a step early and a step late, never before a step that was used, and no other is", () => {
  const nowMs = 1_700_000_000_000;
  const now = totpStepAt(nowMs);
  const accepted = [-2, -1, 0, 1, 2].map((drift) => matchTotp(secret, totpCode(secret, now + drift), nowMs, 0));
  expect(accepted).toEqual([undefined, now - 1, now, now + 1, undefined]);
  expect(matchTotp(secret, totpCode(secret, now), nowMs, now - 1)).toBe(now);
  expect(matchTotp(secret, totpCode(secret, now), nowMs, now)).toBeUndefined();
  for (const code of ["", "12345", "1234567", "abcdef", "１２３４５６"]) {
    expect(matchTotp(secret, code, nowMs, 0)).toBeUndefined();
  }
});

test("a code that a clock took which ran ahead and was put back keeps no other out", () => {
  const nowMs = 1_700_000_000_000;
  const now = totpStepAt(nowMs);
  expect(matchTotp(secret, totpCode(secret, now), nowMs, now + 120)).toBe(now);
  expect(matchTotp(secret, totpCode(secret, now), nowMs, now + 3)).toBeUndefined();
});

test("the address for apps names issuer and account, whatever stands in them", () => {
  const uri = new URL(totpUri(secret, "Muin & co", "ada+x@example.org"));
  expect([uri.protocol, uri.host, decodeURIComponent(uri.pathname)]).toEqual([
    "otpauth:",
    "totp",
    "/Muin & co:ada+x@example.org",
  ]);
  expect(Object.fromEntries(uri.searchParams)).toEqual({ secret: base32(secret), issuer: "Muin & co" });
});
