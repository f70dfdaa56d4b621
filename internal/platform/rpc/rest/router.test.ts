import { describe, expect, test } from "bun:test";
import { parsePathTemplate } from "./path-template.ts";
import { createRestRouter } from "./router.ts";

describe("path templates", () => {
  test.each(["a", "/a/{b", "/a/**/b", "/{a}b", "/a//b", "/a/"])("%s is none", (template) => {
    expect(() => parsePathTemplate(template)).toThrow("path template");
  });

  test("literals win over *, and * over **, wherever they stand", () => {
    const router = createRestRouter<string>();
    for (const template of ["/a/b", "/a/{x}", "/{x}/b", "/a/{x=**}", "/a/{x}:go", "/{x=**}"]) {
      router.add("GET", template, template);
    }
    const found = (path: string): unknown => {
      const result = router.find("GET", path);
      return result.kind === "match" ? [result.target, ...result.values] : result.kind;
    };
    expect(found("/a/b")).toEqual(["/a/b"]);
    expect(found("/a/c")).toEqual(["/a/{x}", "c"]);
    expect(found("/c/b")).toEqual(["/{x}/b", "c"]);
    expect(found("/a/c/d")).toEqual(["/a/{x=**}", "c/d"]);
    expect(found("/a/c:go")).toEqual(["/a/{x}:go", "c"]);
    expect(found("/a/c:stop")).toEqual(["/a/{x}", "c:stop"]);
    expect(found("/c/d/e")).toEqual(["/{x=**}", "c/d/e"]);
    expect(() => router.add("GET", "/a/{y}", "again")).toThrow("two methods");
  });
});
