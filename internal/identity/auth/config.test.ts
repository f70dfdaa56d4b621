import { expect, test } from "bun:test";
import { readConfig } from "../../platform/config/read-config.ts";
import { authConfig } from "./config.ts";

const secret = "x".repeat(32);
const mail = { MUIN_MAIL_URL: "smtps://mail.example.org" };

test("needs nothing but a secret and a place for mails, and starts from what OWASP advises", () => {
  const config = readConfig("auth", authConfig, { ...mail, MUIN_AUTH_KEY_ENCRYPTION_SECRET: secret });
  expect(config).toMatchObject({ argon2MemoryKib: 19_456, argon2Passes: 2, accessTokenLifeMs: 900_000 });
  expect(JSON.stringify(config)).not.toContain(secret);
});

test.each([
  ["a secret that could be guessed", { MUIN_AUTH_KEY_ENCRYPTION_SECRET: "x".repeat(31) }],
  ["weaker hashes", { MUIN_AUTH_ARGON2_MEMORY_KIB: "19455" }],
  ["fewer passes", { MUIN_AUTH_ARGON2_PASSES: "1" }],
  ["access tokens of more than 15 minutes", { MUIN_AUTH_ACCESS_TOKEN_LIFE_MS: "900001" }],
  ["mails that go nowhere", { MUIN_MAIL_URL: "http://mail.example.org" }],
  ["more published keys than a verifier takes", { MUIN_AUTH_SIGNING_KEY_LIFE_MS: "86400000" }],
])("refuses %s", (_, env) => {
  const read = (): unknown =>
    readConfig("auth", authConfig, { ...mail, MUIN_AUTH_KEY_ENCRYPTION_SECRET: secret, ...env });
  expect(read).toThrow(Object.keys(env)[0]!);
});
