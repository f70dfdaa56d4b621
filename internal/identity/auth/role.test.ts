import { expect, test } from "bun:test";
import { join } from "node:path";
import { getOption } from "@bufbuild/protobuf";
import type { GenFile } from "@bufbuild/protobuf/codegenv2";
import { policy } from "../../gen/muin/platform/v1/options_pb.ts";
import { scopes, scopesOf } from "./role.ts";

test("the scopes are those that policies ask for, no more and no fewer", async () => {
  const gen = join(import.meta.dir, "../../gen/muin");
  const asked = new Set<string>();
  for (const path of new Bun.Glob("**/*_service_pb.ts").scanSync(gen)) {
    const module = (await import(join(gen, path))) as Record<string, unknown>;
    const file = Object.entries(module).find(([name]) => name.startsWith("file_"))?.[1] as GenFile;
    for (const service of file.services) {
      for (const method of service.methods) for (const scope of getOption(method, policy).scopes) asked.add(scope);
    }
  }
  expect([...asked].toSorted()).toEqual([...scopes].toSorted());
});

test("an administrator may do everything, a member and a role of no meaning nothing", () => {
  expect(scopesOf(["administrator"])).toEqual(scopes);
  expect(scopesOf(["member", "no such role", "toString"])).toEqual([]);
});
