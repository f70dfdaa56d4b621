import { beforeAll, describe, expect, test } from "bun:test";
import { missingForSuite, ports, prepareSuite, type Suite } from "./suite.ts";

const missing = missingForSuite();
const inCi = process.env["CI"] !== undefined;
/** Building the suite for the first time, and running it, in milliseconds. */
const prepareMsMax = 5 * 60_000;
const runMsMax = 9 * 60_000;

if (missing !== undefined && !inCi) console.log(`Connect conformance: skipped: ${missing}`);

describe.skipIf(missing !== undefined && !inCi)("Connect conformance (skipped without its programs)", () => {
  let suite: Suite;
  beforeAll(async () => {
    if (missing !== undefined) throw new Error(missing);
    suite = await prepareSuite();
  }, prepareMsMax);

  test.each(ports)(
    "%s port: every case passes",
    async (port) => {
      const { passed, failed, output } = await suite.run(port);
      console.log(`Connect conformance, ${port} port: ${passed} passed, ${failed} failed`);
      if (failed > 0) console.log(output);
      expect(failed).toBe(0);
      expect(passed).toBeGreaterThan(1000);
    },
    runMsMax,
  );
});
