import { expect, test } from "bun:test";
import { join } from "node:path";
import { importMutant } from "../testing/mutant.ts";
import { signUpWhere } from "./sign-up.ts";

const alone = { host: "127.0.0.1", behindProxy: false, trustedHops: 0 };

test.each([
  ["open", alone],
  ["open", { ...alone, host: "127.8.9.10" }],
  ["open", { ...alone, host: "::1" }],
  ["open", { ...alone, host: "localhost" }],
  ["invite", { ...alone, host: "0.0.0.0" }],
  ["invite", { ...alone, host: "::" }],
  ["invite", { ...alone, host: "192.0.2.1" }],
  ["invite", { ...alone, host: "127.0.0.1.example.org" }],
  ["invite", { ...alone, host: "loopback.example.org" }],
  ["invite", { ...alone, behindProxy: true }],
  ["invite", { ...alone, trustedHops: 1 }],
] as const)("sign-up is %s where a process listens as %p", (who, where) => {
  expect(signUpWhere(where)).toBe(who);
});

test.each([
  ["isLoopback(listens.host) && ", { ...alone, host: "0.0.0.0" }],
  ["!listens.behindProxy && ", { ...alone, behindProxy: true }],
  [" && listens.trustedHops === 0", { ...alone, trustedHops: 1 }],
] as const)("mutant: without %p strangers sign up", async (rule, where) => {
  const mutant = await importMutant<{ signUpWhere: typeof signUpWhere }>(join(import.meta.dir, "sign-up.ts"), rule, "");
  expect(mutant.signUpWhere(where)).toBe("open");
});
