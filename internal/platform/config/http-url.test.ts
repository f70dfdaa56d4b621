import { expect, test } from "bun:test";
import { parseHttpUrl } from "./http-url.ts";

test.each([
  ["http://127.0.0.1:8080", "http://127.0.0.1:8080/"],
  ["HTTPS://Example.org/a?b=c#d", "https://example.org/a?b=c#d"],
  ["https://[2001:db8::1]:443/x", "https://[2001:db8::1]/x"],
  ["https://ada:se%40cret@example.org/%61", "https://ada:se%40cret@example.org/%61"],
  ["https://bücher.example/ä", "https://xn--bcher-kva.example/%C3%A4"],
])("%s is a URL", (text, href) => {
  expect(parseHttpUrl(text)?.href).toBe(href);
});

test.each([
  "",
  "example.org",
  "ftp://example.org",
  "https:example.org",
  "https:/example.org",
  "https:///example.org",
  "https:\\\\example.org",
  "https://example.org\\x",
  "https://exa\tmple.org",
  "https://example.org/a\nb",
  " https://example.org",
  "https://example.org ",
  "https://ex%61mple.org",
  "https://",
  "https://?x",
  "https://ada@",
  "http://2130706433",
  "http://0x7f.1/",
  "http://127.1",
  "http://example.org:99999",
])("%p is none", (text) => {
  expect(parseHttpUrl(text)).toBeUndefined();
});
