import { expect, test } from "bun:test";
import { join } from "node:path";
import { ConfigError } from "../config/read-config.ts";
import { caught, importMutant } from "../testing/mutant.ts";
import { checkListener, checkOperatorListener } from "./exposure.ts";

const plain = { host: "127.0.0.1", behindProxy: false, insecure: false, hasTls: false };
const reachable = [
  "0.0.0.0",
  "::",
  "192.168.0.2",
  "2001:db8::1",
  "muin.example",
  "127.0.0.1.example",
  "127.0.0.999",
  "localhost.example",
  "",
];

function expectRefusals(check: typeof checkListener): void {
  for (const host of ["127.0.0.1", "127.8.8.8", "::1", "localhost"]) check({ ...plain, host });
  for (const host of reachable) {
    expect(() => check({ ...plain, host })).toThrow(ConfigError);
    expect(() => check({ ...plain, host })).toThrow(`MUIN_HOST got "${host}", which others reach, and there is no TLS`);
    for (const said of ["behindProxy", "insecure", "hasTls"]) check({ ...plain, host, [said]: true });
  }
}

test("an address that others reach takes TLS, or a word about it", () => expectRefusals(checkListener));

test.each([
  ["every address passes", "isLoopback(host)) return;", "true) return;"],
  ["names that begin like this machine's pass", '(isIPv4(host) && host.startsWith("127."))', 'host.startsWith("127.")'],
])("the test notices when %s", async (_, from, to) => {
  type Module = { checkListener: typeof checkListener };
  const mutant = await importMutant<Module>(join(import.meta.dir, "exposure.ts"), from, to);
  await caught(() => expectRefusals(mutant.checkListener));
});

function expectOperatorRefusals(check: typeof checkOperatorListener): void {
  for (const operatorHost of ["127.0.0.1", "::1", "localhost"]) check({ operatorHost, hasTls: false });
  for (const operatorHost of reachable) {
    const words = `MUIN_OPERATOR_HOST got "${operatorHost}", which others reach, and there is no TLS`;
    const said = { ...plain, behindProxy: true, insecure: true, operatorHost };
    expect(() => check(said)).toThrow(ConfigError);
    expect(() => check(said)).toThrow(words);
    check({ operatorHost, hasTls: true });
  }
}

test("the operator's address takes TLS where others reach it, whatever is said", () =>
  expectOperatorRefusals(checkOperatorListener));

test("the test notices when every operator's address passes", async () => {
  type Module = { checkOperatorListener: typeof checkOperatorListener };
  const file = join(import.meta.dir, "exposure.ts");
  const mutant = await importMutant<Module>(file, "isLoopback(operatorHost)) return;", "true) return;");
  await caught(() => expectOperatorRefusals(mutant.checkOperatorListener));
});
