import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { importMutant } from "../../../internal/platform/testing/mutant.ts";
import { type AccessLogEntry, parseAccessLog } from "./access-log.ts";

const before = "203.0.113.7 - - [17/May/2025:10:05:03 +0000]";
const common: AccessLogEntry = {
  host: "203.0.113.7",
  user: "",
  time: "17/May/2025:10:05:03 +0000",
  method: "GET",
  path: "/a",
  protocol: "HTTP/1.1",
  status: "200",
  bytes: "12",
  referer: "",
  agent: "",
};

describe("parseAccessLog", () => {
  test.each<[name: string, line: string, fields: Partial<AccessLogEntry>]>([
    ["common format", `${before} "GET /a HTTP/1.1" 200 12`, {}],
    [
      "combined format",
      `${before} "GET /a HTTP/1.1" 200 12 "https://x.test/" "Agent (X; Y)"`,
      { referer: "https://x.test/", agent: "Agent (X; Y)" },
    ],
    [
      "a user with a space",
      '203.0.113.7 - Ann Lee [17/May/2025:10:05:03 +0000] "GET /a HTTP/1.1" 200 12',
      { user: "Ann Lee" },
    ],
    ["no bytes", `${before} "GET /a HTTP/1.1" 304 -`, { status: "304", bytes: "" }],
    [
      "a request that was never sent",
      `${before} "-" 408 - "-" "-"`,
      { method: "", path: "", protocol: "", status: "408", bytes: "" },
    ],
    [
      "garbage as request",
      `${before} "\\x16\\x03\\x01" 400 226`,
      { method: "\\x16\\x03\\x01", path: "", protocol: "", status: "400", bytes: "226" },
    ],
    ["a request without protocol", `${before} "GET /a" 200 12`, { protocol: "" }],
    ["spaces in the path", `${before} "GET /a b HTTP/1.0" 200 12`, { path: "/a b", protocol: "HTTP/1.0" }],
    [
      "escaped quotes",
      `${before} "GET /\\"q\\" HTTP/1.1" 200 12 "-" "say \\"hi\\""`,
      { path: '/"q"', agent: 'say "hi"' },
    ],
    ["bare quotes in the request", `${before} "GET /"q" HTTP/1.1" 200 12`, { path: '/"q"' }],
    [
      "an agent without its last quote",
      `${before} "GET /a HTTP/1.1" 200 12 "-" "Mozilla/5.0 (compatible`,
      { agent: "Mozilla/5.0 (compatible" },
    ],
    ["fields after the agent", `${before} "GET /a HTTP/1.1" 200 12 "-" "X" 0.005 "y"`, { agent: "X" }],
    ["an IPv6 host", `::1 - - [17/May/2025:10:05:03 +0000] "GET /a HTTP/1.1" 200 12`, { host: "::1" }],
  ])("%s", (_name, line, fields) => {
    expect(parseAccessLog(line)).toEqual({ ...common, ...fields });
  });

  test.each([
    "",
    "GET /a HTTP/1.1",
    `${before} "GET /a HTTP/1.1" ok 12`,
    `${before} "GET /a HTTP/1.1`,
    `${before} GET /a 200 12`,
    '{"status":200}',
  ])("refuses %p", (line) => {
    expect(parseAccessLog(line)).toBeUndefined();
  });

  const request = '[17/May/2025:10:05:03 +0000] "GET /a HTTP/1.1" 200 12';
  const shifted = [
    `shop.example:443 192.0.2.7 - - ${request}`,
    `shop.example 192.0.2.7 - ada ${request}`,
    `shop.example client.example - ada ${request}`,
    `192.0.2.7, 198.51.100.3 - - ${request}`,
    `192.0.2.7, client.example ada ${request}`,
    `shop.example 192.0.2.7 ada ${request}`,
    `192.0.2.7 -  ada ${request}`,
    `192.0.2.7 - - ${request} 0.005 "https://x.test/" "Agent"`,
    `192.0.2.7 - - ${request} "https://x.test/" 0.005 "Agent"`,
    `192.0.2.7 - - ${request} "https://x.test/" "Agent" x"y"`,
  ];

  test("reads no field as another", () => {
    expect(shifted.filter((line) => parseAccessLog(line) !== undefined)).toEqual([]);
  });

  test.each([
    ["any host", "!(hostName.test(host) || isIP(host) > 0)", "false"],
    ["an address as identity", 'ident !== "-" && isIP(ident) > 0', "false"],
    ["a user that begins with a field", "(?!- [^[])", ""],
    ["fields before the referer", "tail.includes('\"') ? undefined : { referer", "{ referer"],
    ["fields before the agent", "const isAll = ", "const isAll = true || "],
    ["any text behind the agent", "moreFields.test(more) ?", "true ?"],
  ])("mutant: takes %s", async (_, from, to) => {
    const mutant = await importMutant<{ parseAccessLog: typeof parseAccessLog }>(
      join(import.meta.dir, "access-log.ts"),
      from,
      to,
    );
    expect(shifted.filter((line) => mutant.parseAccessLog(line) !== undefined)).not.toEqual([]);
  });

  // With its square it would be minutes, and the test be ended.
  test("takes a time that grows with the line, not with its square", () => {
    for (const piece of [" [", '" ', '\\"', '] "', '" 200 ']) {
      expect(parseAccessLog(`a b c [t] "${piece.repeat(200_000)}`)).toBeUndefined();
    }
  });
});
