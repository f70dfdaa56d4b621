import { afterAll, expect, test } from "bun:test";
import { join } from "node:path";
import { ConfigError } from "../config/read-config.ts";
import { createTestIssuer } from "../testing/certificates.ts";
import { caught, importMutant } from "../testing/mutant.ts";
import { readCertificate } from "./certificate.ts";

const issuer = await createTestIssuer();
afterAll(() => issuer[Symbol.dispose]());
const rules = { nowMs: Date.now(), services: ["auth"] };
const hourMs = 3_600_000;
const agoMs = (hours: number): number => rules.nowMs - hours * hourMs;
const pairs = {
  good: await issuer.issue(),
  other: await issuer.issue(),
  ended: await issuer.issue({ fromMs: agoMs(3), lifeMs: hourMs }),
  later: await issuer.issue({ fromMs: agoMs(-1) }),
  auth: await issuer.issue({ names: ["spiffe://muin/auth", "localhost"] }),
  user: await issuer.issue({ names: ["spiffe://muin/user", "localhost"] }),
};
const files = Object.fromEntries(
  Object.entries(pairs).flatMap(([name, { cert, key }]) => [
    [name, issuer.write(`${name}.pem`, cert)],
    [`${name}Key`, issuer.write(`${name}.key`, key)],
  ]),
) as Readonly<Record<keyof typeof pairs | `${keyof typeof pairs}Key`, string>>;
const text = issuer.write("text", "no certificate");
const none = join(issuer.folder, "none");

const named = (tlsCertFile: string, tlsKeyFile: string, tlsClientCaFile = "") => ({
  tlsCertFile,
  tlsKeyFile,
  tlsClientCaFile,
});

function problemsOf(read: () => unknown): readonly string[] {
  try {
    read();
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
  return [];
}

test("the certificate that settings name is read with how long it is valid", () => {
  expect(readCertificate(named("", ""), rules)).toBeUndefined();
  const read = readCertificate(named(files.good, files.goodKey, issuer.caFile), rules);
  expect(read).toMatchObject({ cert: pairs.good.cert, key: pairs.good.key, ca: issuer.ca, lifeMs: 2 * hourMs });
  expect(Math.abs((read?.notAfterMs ?? 0) - agoMs(-1))).toBeLessThan(60_000);
  expect(readCertificate(named(files.auth, files.authKey), rules)?.cert).toBe(pairs.auth.cert);
});

const refused: readonly (readonly [string, ReturnType<typeof named>, string])[] = [
  [
    "no key",
    named(files.good, ""),
    "MUIN_TLS_KEY_FILE is missing: certificate (MUIN_TLS_CERT_FILE) and key (MUIN_TLS_KEY_FILE) go together",
  ],
  ["no certificate", named("", files.goodKey), "MUIN_TLS_CERT_FILE is missing"],
  ["an absent file", named(none, files.goodKey), `MUIN_TLS_CERT_FILE names ${none}, which cannot be read (ENOENT)`],
  ["an absent key", named(files.good, none), `MUIN_TLS_KEY_FILE names ${none}, which cannot be read (ENOENT)`],
  [
    "an absent issuer",
    named(files.good, files.goodKey, none),
    `MUIN_TLS_CLIENT_CA_FILE names ${none}, which cannot be read (ENOENT)`,
  ],
  ["other text", named(text, files.goodKey), `MUIN_TLS_CERT_FILE names ${text}, which holds no certificate in PEM`],
  ["a key as certificate", named(files.goodKey, files.goodKey), "which holds no certificate in PEM"],
  ["a certificate as key", named(files.good, files.good), "which holds no private key in PEM without a passphrase"],
  [
    "another's key",
    named(files.good, files.otherKey),
    `MUIN_TLS_KEY_FILE names ${files.otherKey}, which is not the key of the certificate in ${files.good}`,
  ],
  ["an ended one", named(files.ended, files.endedKey), "where a certificate ended on"],
  ["one that is not valid yet", named(files.later, files.laterKey), "where a certificate begins on"],
  [
    "another service's",
    named(files.user, files.userKey),
    `MUIN_TLS_CERT_FILE names ${files.user}, the certificate of user: give one of auth`,
  ],
];

test.each(refused)("%s is refused by its setting", (_, config, problem) => {
  expect(problemsOf(() => readCertificate(config, rules)).join("\n")).toContain(problem);
});

test("all problems are told at once", () => {
  expect(problemsOf(() => readCertificate(named(none, text, none), rules))).toHaveLength(3);
});

test.each([
  ["an ended certificate", "if (to.getTime() <= nowMs)", "if (to.getTime() <= 0)"],
  ["another's key", "!leaf.checkPrivateKey(key)", "false"],
  ["another service's name", "if (names.length > 0 &&", "if (names.length > 9 &&"],
])("the tests notice when %s passes", async (_, from, to) => {
  type Module = { readCertificate: typeof readCertificate };
  const mutant = await importMutant<Module>(join(import.meta.dir, "certificate.ts"), from, to);
  await caught(() => {
    for (const [, config, problem] of refused) {
      let found = "";
      try {
        mutant.readCertificate(config, rules);
      } catch (error) {
        found = (error as Error).message;
      }
      expect(found).toContain(problem);
    }
  });
});
