import { expect, test } from "bun:test";
import { join } from "node:path";
import { getOption } from "@bufbuild/protobuf";
import type { GenFile } from "@bufbuild/protobuf/codegenv2";
import { RoleSchema, type Role } from "../../../gen/muin/identity/v1/user_pb.ts";
import { policy } from "../../../gen/muin/platform/v1/options_pb.ts";
import { roleOf, scopes, scopesOf } from "./role.ts";

/** Asked for by handlers: whoever has not got it sees their own all the same. */
const askedByHandlers = ["audit.read", "devices.manage"];

test("the scopes are those that policies and handlers ask for, no more and no fewer", async () => {
  const gen = join(import.meta.dir, "../../../gen/muin");
  const asked = new Set<string>();
  for (const path of new Bun.Glob("**/*_service_pb.ts").scanSync(gen)) {
    const module = (await import(join(gen, path))) as Record<string, unknown>;
    const file = Object.entries(module).find(([name]) => name.startsWith("file_"))?.[1] as GenFile;
    for (const service of file.services) {
      for (const method of service.methods) for (const scope of getOption(method, policy).scopes) asked.add(scope);
    }
  }
  expect([...asked, ...askedByHandlers].toSorted()).toEqual([...scopes].toSorted());
});

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
