import { afterAll, beforeAll, expect, test } from "bun:test";
import { join } from "node:path";
import { createTestIssuer } from "../testing/certificates.ts";
import { caught, importMutant } from "../testing/mutant.ts";
import { startRedis, type TestRedis } from "../testing/redis.ts";
import { startTlsTerminator } from "../testing/tls-terminator.ts";
import { openRedis } from "./open-redis.ts";

const issuer = await createTestIssuer();
let redis: TestRedis;
beforeAll(async () => {
  redis = await startRedis();
});
afterAll(async () => {
  await redis.stop();
  issuer[Symbol.dispose]();
});

/** The URL of the server behind TLS. */
function behind(port: number, { host = "localhost", scheme = "rediss", caFile = issuer.caFile } = {}): string {
  const url = new URL(redis.url);
  const query = caFile === "" ? "" : `?ca_file=${encodeURIComponent(caFile)}`;
  return `${scheme}://${url.username}:${url.password}@${host}:${port}/${query}`;
}

async function answerOf(url: string, open: typeof openRedis): Promise<string> {
  const opened = open({ url, name: "test" });
  await opened.start();
  try {
    return (await opened.probe()) ?? (await opened.client.set("a", "1"));
  } finally {
    await opened.stop();
  }
}

async function expectTrust(open: typeof openRedis): Promise<void> {
  using other = await createTestIssuer();
  await using good = await startTlsTerminator(Number(new URL(redis.url).port), await issuer.issue());
  const foreign = await issuer.issue({ names: ["other.example"] });
  await using misnamed = await startTlsTerminator(Number(new URL(redis.url).port), foreign);
  expect(await answerOf(behind(good.port), open)).toBe("OK");
  expect(await answerOf(behind(good.port, { host: "127.0.0.1" }), open)).toBe("OK");
  expect(await answerOf(behind(good.port, { caFile: "" }), open)).toContain("shows a certificate that is not trusted");
  expect(await answerOf(behind(good.port, { caFile: other.caFile }), open)).toContain("is not trusted");
  expect(await answerOf(behind(misnamed.port), open)).toContain("shows a certificate that is not trusted");
  expect(await answerOf(behind(misnamed.port, { host: "127.0.0.1" }), open)).toContain("is not trusted");
  expect(await answerOf(behind(good.port, { scheme: "redis" }), open)).toBe("speaks TLS: use rediss://");
}

test("a Redis with TLS is trusted when it shows a certificate of its host's by an issuer that is named", () =>
  expectTrust(openRedis));

test("the test notices when nobody is verified", async () => {
  type Module = { openRedis: typeof openRedis };
  const path = join(import.meta.dir, "open-redis.ts");
  const mutant = await importMutant<Module>(path, "{ tls: { ca } }", "{ tls: { rejectUnauthorized: false } }");
  await caught(() => expectTrust(mutant.openRedis));
});
