import { expect, test } from "bun:test";
import { join } from "node:path";
import { importMutant } from "../testing/mutant.ts";
import { isWrittenMailbox } from "./mailer.ts";

test.each([
  "ada@example.org",
  "Ada+office@Example.ORG",
  "admin@localhost",
  "ada@bücher.example",
  "ada@xn--bcher-kva.example",
])("%s is an address as people write it", (text) => {
  expect(isWrittenMailbox(text)).toBe(true);
});

/** A URL parser takes each of these domains for another. */
const mended = ["ada@example.org/x", "ada@example.org?x", "ada@example.org#x", "ada@ex%61mple.org"];

test.each([
  ...mended,
  "",
  "ada",
  "@example.org",
  "ada@",
  "num@42",
  "num@0x7f.1",
  "dd@example..org",
  "hy@example-.org",
  "a..b@example.org",
  ".a@example.org",
  "a.@example.org",
  "Ada <ada@example.org>",
  "ada@example.org,bob@example.org",
  "ada@example.org\n",
])("%p is none", (text) => {
  expect(isWrittenMailbox(text)).toBe(false);
});

test("mutant: without a look at the domain, a URL parser says which it is", async () => {
  const mutant = await importMutant<{ isWrittenMailbox: typeof isWrittenMailbox }>(
    join(import.meta.dir, "mailer.ts"),
    "writtenDomain.test(written) ?",
    "true ?",
  );
  expect(mended.map((text) => mutant.isWrittenMailbox(text))).toEqual([true, true, true, true]);
});
