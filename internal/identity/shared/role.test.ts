import { expect, test } from "bun:test";
import { RoleSchema, type Role } from "../../gen/muin/identity/v1/user_pb.ts";
import { scopes } from "../../gen/scopes.ts";
import { roleOf, scopesOf } from "./role.ts";

test("an administrator may do everything, another role and one of no meaning nothing", () => {
  expect(scopesOf(["administrator"])).toEqual(scopes);
  expect(scopesOf(["owner", "helper", "member", "no such role", "toString"])).toEqual([]);
});

test("every role of the protos has its name in lower case, and no other has one", () => {
  const names = RoleSchema.values.map(({ number, name }) => [name, roleOf(number as Role)]);
  expect(names).toEqual([
    ["ROLE_UNSPECIFIED", undefined],
    ["ROLE_ADMINISTRATOR", "administrator"],
    ["ROLE_OWNER", "owner"],
    ["ROLE_HELPER", "helper"],
    ["ROLE_MEMBER", "member"],
  ]);
  expect(roleOf(99 as Role)).toBeUndefined();
});
