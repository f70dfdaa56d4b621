import { expect, test } from "bun:test";
import type { Scope } from "../../gen/scopes.ts";
import { anonymous, type Caller } from "../identity/caller.ts";
import { checkPersonOrScopes, hasScope, personIdOf, refusalToActOn } from "./caller-scopes.ts";

const scopes = new Set(["users.read", "audit.read"]);
const ada: Caller = { kind: "person", id: "ada", principal: "person:ada", scopes: new Set(), sessionId: "s" };
const key: Caller = { kind: "api_key", id: "k", principal: "api_key:k", scopes };
const service: Caller = { kind: "service", id: "auth", principal: "service:auth" };

test.each<[string, Caller, userId: string, scopes: readonly Scope[], outcome: string]>([
  ["a person themself", ada, "ada", ["users.read"], "may"],
  ["a person, of another", ada, "bob", ["users.read"], "users.read"],
  ["a person, where no scope helps", ada, "bob", [], "none"],
  ["who holds the scopes", key, "ada", ["users.read", "audit.read"], "may"],
  ["who holds one of two scopes", key, "ada", ["users.read", "users.manage"], "users.manage"],
  [
    "a key that is called like the person",
    { ...key, id: "ada", scopes: new Set() },
    "ada",
    ["users.read"],
    "users.read",
  ],
  ["a service", service, "auth", ["users.read"], "users.read"],
  ["nobody, of nobody", anonymous, "", ["users.read"], "users.read"],
])("%s", (_, caller, userId, needed, outcome) => {
  let seen = "may";
  try {
    checkPersonOrScopes(caller, userId, ...needed);
  } catch (error) {
    expect(error).toMatchObject({ code: "permission_denied", reason: "USER_FORBIDDEN" });
    seen = (error as { metadata: { scope?: string } }).metadata.scope ?? "none";
  }
  expect(seen).toBe(outcome);
});

test("only people and keys hold scopes, and only a person has a person's id", () => {
  expect([ada, key, service, anonymous].map((caller) => hasScope(caller, "users.read"))).toEqual([
    false,
    true,
    false,
    false,
  ]);
  expect([ada, key, service, anonymous].map(personIdOf)).toEqual(["ada", "", "", ""]);
});

test.each<[string, Caller, userId: string, held: readonly string[], lacks: string | undefined]>([
  ["a person themself, whatever they hold", ada, "ada", ["users.read"], undefined],
  ["who holds all that the person does", key, "bob", ["users.read"], undefined],
  ["a person who holds nothing", service, "bob", [], undefined],
  ["who lacks some", key, "bob", ["users.manage", "users.read", "keys.manage"], "users.manage, keys.manage"],
  ["a key that is called like the person", { ...key, id: "ada" }, "ada", ["keys.manage"], "keys.manage"],
  ["another person", ada, "bob", ["users.read"], "users.read"],
])("acting on a person: %s", (_, caller, userId, held, lacks) => {
  const refusal = refusalToActOn(caller, userId, held);
  expect(refusal?.error.metadata["scopes"]).toBe(lacks);
  expect(refusal?.error.reason).toBe(lacks === undefined ? undefined : "PERSON_HOLDS_MORE");
});
