import { expect, test } from "bun:test";
import { join } from "node:path";
import { importMutant } from "../../../platform/testing/mutant.ts";
import { normaliseEmail, normaliseKnownEmail } from "./email.ts";

const same: readonly (readonly [what: string, written: string])[] = [
  ["as it is", "ada@example.org"],
  ["upper case", "ADA@EXAMPLE.ORG"],
  ["space at the ends", "  ada@example.org\t"],
  ["full-width letters and signs", "ａｄａ＠ｅｘａｍｐｌｅ．ｏｒｇ"],
  ["mathematical capitals, which have no lower case", "𝐀𝐃𝐀@example.org"],
  ["zero-width joiner", "a\u200dda@example.org"],
  ["soft hyphen in the domain", "ada@exam\u00adple.org"],
  ["direction mark", "\u202eada@example.org"],
  ["a line end behind it", "ada@example.org\r\n"],
];

test.each(same)("one address: %s", (_, written) => {
  expect(normaliseEmail(written)).toBe("ada@example.org");
});

test.each([
  ["forms of Unicode", 'text.normalize("NFKC")', "text"],
  ["characters that show nothing", '.replace(invisible, "")', ""],
  ["case", ".toLowerCase()", ""],
])("mutant: %s would evade", async (_, from, to) => {
  const mutant = await importMutant<{ normaliseEmail: typeof normaliseEmail }>(
    join(import.meta.dir, "email.ts"),
    from,
    to,
  );
  expect(same.filter(([, written]) => mutant.normaliseEmail(written) !== "ada@example.org")).not.toEqual([]);
});

const others: readonly (readonly [written: string, normal: string])[] = [
  ["admin@localhost", "admin@localhost"],
  ["Ada+tag@example.org", "ada+tag@example.org"],
  ["ada@BÜCHER.example", "ada@xn--bcher-kva.example"],
  ["ada@xn--bcher-kva.example", "ada@xn--bcher-kva.example"],
  ["ada@bücher。example", "ada@xn--bcher-kva.example"],
  ["ada@3com.example", "ada@3com.example"],
  ["a.d.a@a-b.example.org", "a.d.a@a-b.example.org"],
  ["\u212Aelvin@example.org", "kelvin@example.org"],
  ["\u0130@example.org", "i\u0307@example.org"],
  // A look-alike of another script is another address.
  ["\u0430da@example.org", "\u0430da@example.org"],
];

test.each(others)("%s becomes %s, and stays it", (written, normal) => {
  expect(normaliseEmail(written)).toBe(normal);
  expect(normaliseEmail(normal)).toBe(normal);
});

const none = [
  "",
  "ada",
  "@example.org",
  "ada@",
  "ada@@",
  "ada @example.org",
  "ada@exa mple.org",
  '"a b"@example.org',
  "ada@[127.0.0.1]",
  "ada,bob@example.org",
  "<ada@example.org>",
  "ada@example.org, bob@example.org",
  "ada@-example.org",
  `${"a".repeat(65)}@example.org`,
  `ada@${"a".repeat(60)}.${"b".repeat(60)}.${"c".repeat(60)}.${"d".repeat(60)}.example.org`,
  "\ud800@example.org",
  // U+2028 separates lines: it must not reach a mail's header.
  "ada\u2028bcc@example.org",
  "ada\u0000@example.org",
  "ada@xn--a.example",
  `ada@${"a".repeat(64)}.example.org`,
  // A reader of URLs takes each for "ada@example.org".
  "ada@example.org/x",
  "ada@example.org?x",
  "ada@example.org#x",
  "ada@example.org\\x",
  "ada@example.org:25",
  "ada@ex%61mple.org",
  "ada@exa\tmple.org",
  "ada@example.org／x",
  // And these for an address of IPv4.
  "num@42",
  "num@0x7f.1",
  "num@2130706433",
  "num@127.0.0.1",
  "dd@example..org",
  "hy@example-.org",
  "a..b@example.org",
  ".a@example.org",
  "a.@example.org",
];

test.each(none)("no address: %p", (written) => {
  expect(normaliseEmail(written)).toBeUndefined();
});

// An account may have begun with an address that is refused today: it is found by what was stored then.
test.each([
  ["Dd@example..org", "dd@example..org"],
  ["hy@example-.org", "hy@example-.org"],
  ["a..b@example.org", "a..b@example.org"],
  [".a@example.org", ".a@example.org"],
  ["num@42", "num@0.0.0.42"],
  ["num@0.0.0.42", "num@0.0.0.42"],
  ["ada@BÜCHER.example", "ada@xn--bcher-kva.example"],
])("an account is found by %p", (written, stored) => {
  expect(normaliseKnownEmail(written)).toBe(stored);
});

test.each(["ada@example.org/x", "ada@ex%61mple.org", "ada@exa\tmple.org", "ada\u0000@example.org"])(
  "no account is found by %p",
  (written) => {
    expect(normaliseKnownEmail(written)).toBeUndefined();
  },
);
