import { afterAll, expect, test } from "bun:test";
import { join } from "node:path";
import { ConfigError } from "../config/read-config.ts";
import { createTestIssuer } from "../testing/certificates.ts";
import { caught, importMutant } from "../testing/mutant.ts";
import { checkUrls, trustOf, withIssuers } from "./remote-urls.ts";

const issuer = await createTestIssuer();
afterAll(() => issuer[Symbol.dispose]());
const rules = { insecure: false, caVariable: "MUIN_CA_FILE", caFile: "", nowMs: Date.now() };
const none = join(issuer.folder, "none");

const good = [
  "",
  "redis://u:secret@127.0.0.1:6379",
  "redis://localhost:6379",
  "redis://[::1]:6379",
  "rediss://u:secret@redis.example:6379",
  "http://127.0.0.1:8080",
  "https://router.example",
  "file:///var/mail",
  "smtp://localhost:2525",
  "smtp://[::1]",
  "smtps://mail.example",
  "smtp://u:secret@mail.example",
  "postgres://u:secret@127.0.0.1/db",
  "postgres://u:secret@localhost/db?sslmode=disable",
  "postgres://u:secret@db.example/db?sslmode=verify-full",
  "postgresql://u:secret@db.example/db?sslmode=verify-full&sslrootcert=system",
  `postgres://u:secret@db.example/db?sslmode=verify-full&sslrootcert=${issuer.caFile}`,
];
const half = (mode: string) => `has sslmode=${mode}, which does not make sure that the server is`;
const bad: readonly (readonly [url: string, problem: string])[] = [
  ["redis://u:secret@redis.example:6379", "reaches redis.example without TLS: use rediss:// (with MUIN_CA_FILE"],
  ["redis://u:secret@10.0.0.7:6379", "reaches 10.0.0.7 without TLS"],
  ["redis://127.0.0.1.example", "reaches 127.0.0.1.example without TLS"],
  ["http://router.example:8080", "reaches router.example without TLS: use https://"],
  ["smtp://mail.example", "reaches mail.example by TLS only if that is offered: use smtps://, or a user and password"],
  ["smtp://u@10.0.0.7:25", "reaches 10.0.0.7 by TLS only if that is offered"],
  ["smtp:///", "names no server before its path"],
  ["postgres://u:secret@db.example/db", "reaches db.example without TLS: use sslmode=verify-full (with MUIN_CA_FILE"],
  ["postgres://u:secret@127.0.0.1,db.example/db", "reaches 127.0.0.1,db.example without TLS"],
  ["postgres://u:secret@db.example/db?sslmode=disable", "reaches db.example without TLS"],
  ...["require", "prefer", "allow", "verify-ca", "no-verify"].flatMap((mode) =>
    ["db.example", "127.0.0.1"].map((host) => [`postgres://u:secret@${host}/db?sslmode=${mode}`, half(mode)] as const),
  ),
  ["postgres:///db", "names no server before its path"],
  ["redis:///0", "names no server before its path"],
  ["postgres:///db?host=example.org", "has host=…: name the server before the path alone"],
  ["postgres:///db?hostaddr=192.0.2.1", "has hostaddr=…"],
  ["postgres://u:secret@127.0.0.1/db?host=example.org", "has host=…"],
  ["postgres://u:secret@db.example/db?sslmode=verify-full&hostaddr=192.0.2.1", "has hostaddr=…"],
  ["redis:///?host=redis.example", "has host=…"],
  ["redis://127.0.0.1?sentinels=redis.example", "has sentinels=…"],
  ["postgres://u:secret@db.example/db?sslmode=verify-full&sslmode=disable", "has sslmode=… more than once"],
  ["postgres://u:secret@127.0.0.1/db?sslmode=disable&sslmode=require", "has sslmode=… more than once"],
  ["postgres://u:secret@db.example/db?SSLMODE=verify-full", "reaches db.example without TLS"],
  ["postgres://u:secret@db.example/db#?sslmode=verify-full", "reaches db.example without TLS"],
  ["postgres://u:secret@db.example/sslmode=verify-full", "reaches db.example without TLS"],
  ["postgres://127.0.0.1%2Cdb.example/db", "reaches 127.0.0.1%2Cdb.example without TLS"],
  ["postgres://u:secret@db.example/db?ssl=true", "has ssl=…, which does not say whether the server is verified"],
];

function problemsOf(check: typeof checkUrls, url: string, more: Partial<typeof rules> = {}): string {
  try {
    check([{ variable: "MUIN_STORE_X_URL", url }], { ...rules, ...more });
    return "";
  } catch (error) {
    if (error instanceof ConfigError) return error.problems.join("\n");
    throw error;
  }
}

function expectRefusals(check: typeof checkUrls): void {
  for (const url of good) expect(problemsOf(check, url)).toBe("");
  for (const [url, problem] of bad) {
    const found = problemsOf(check, url);
    expect(found).toContain(`MUIN_STORE_X_URL ${problem}`);
    expect(found).toContain("or say that this is meant (MUIN_INSECURE=1)");
    expect(found).not.toContain("secret");
    expect(problemsOf(check, url, { insecure: true })).toBe("");
  }
}

test("a server that others stand between is reached with TLS that verifies it", () => expectRefusals(checkUrls));

test.each([
  ["sslmode=require passes", 'if (mode === "verify-full" ||', 'if (mode === "verify-full" || mode === "require" ||'],
  ["half measures pass on this machine", '(mode === "disable" && isHere)) return', "isHere) return"],
  ["no server is one of this machine", 'if (hostname === "") return', 'if (hostname === "") return undefined && '],
  ["a parameter may name another server", "if (other !== undefined) return", "if (false) return"],
  ["one of two modes counts", "if (more.length > 0) return", "if (false) return"],
  ["mails pass in plain text", 'if (isHere || url.password !== "") return', "if (true) return"],
  ["plain text passes to others", "|| isHere) return undefined;", "|| true) return undefined;"],
])("the test notices when %s", async (_, from, to) => {
  const mutant = await importMutant<{ checkUrls: typeof checkUrls }>(join(import.meta.dir, "remote-urls.ts"), from, to);
  await caught(() => expectRefusals(mutant.checkUrls));
});

test("files of issuers are looked at, whatever else is said", () => {
  for (const insecure of [false, true]) {
    expect(problemsOf(checkUrls, `rediss://redis.example?ca_file=${none}`, { insecure })).toBe(
      `MUIN_STORE_X_URL names ${none}, which cannot be read (ENOENT)`,
    );
    expect(
      problemsOf(checkUrls, `postgres://db.example/db?sslmode=verify-full&sslrootcert=${none}`, { insecure }),
    ).toBe(`MUIN_STORE_X_URL names ${none}, which cannot be read (ENOENT)`);
    expect(problemsOf(checkUrls, "", { insecure, caFile: none })).toBe(
      `MUIN_CA_FILE names ${none}, which cannot be read (ENOENT)`,
    );
  }
});

test("the file of issuers is told to servers with TLS that name none", () => {
  expect(withIssuers("rediss://h/", "/ca")).toBe("rediss://h/?ca_file=%2Fca");
  expect(withIssuers("rediss://h/?ca_file=/own", "/ca")).toBe("rediss://h/?ca_file=/own");
  expect(withIssuers("postgres://h/db?sslmode=verify-full", "/ca")).toBe(
    "postgres://h/db?sslmode=verify-full&sslrootcert=%2Fca",
  );
  for (const url of ["redis://h/", "postgres://h/db", "http://h/", ""]) expect(withIssuers(url, "/ca")).toBe(url);
  expect(withIssuers("rediss://h/", "")).toBe("rediss://h/");
});

test("what a URL says of TLS is read, and kept from the driver", () => {
  expect(trustOf(`rediss://u:p@h:1/?ca_file=${issuer.caFile}`)).toMatchObject({
    url: "rediss://u:p@h:1/",
    ca: issuer.ca,
  });
  expect(trustOf(`postgres://u:p@[::1]:1/db?sslmode=verify-full&sslrootcert=${issuer.caFile}&x=y`)).toEqual({
    url: "postgres://u:p@[::1]:1/db?x=y",
    host: "::1",
    isVerified: true,
    ca: issuer.ca,
  });
  expect(trustOf("postgres://h/db?sslmode=verify-full&sslrootcert=system")).toMatchObject({
    isVerified: true,
    ca: undefined,
  });
  expect(trustOf("postgres://h/db?sslmode=require")).toMatchObject({
    url: "postgres://h/db?sslmode=require",
    isVerified: false,
  });
});
