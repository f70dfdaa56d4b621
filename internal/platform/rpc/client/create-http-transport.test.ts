import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { afterAll, expect, test } from "bun:test";
import { join } from "node:path";
import { createTestIssuer } from "../../testing/certificates.ts";
import { caught, importMutant } from "../../testing/mutant.ts";
import { ProbeService } from "../testdata/probe_pb.ts";
import { startProbeServer } from "../testdata/start-probe-server.ts";
import { createHttpTransport } from "./create-http-transport.ts";

const issuer = await createTestIssuer();
afterAll(() => issuer[Symbol.dispose]());
const token = (): Promise<string> => Promise.resolve("good");

async function expectTrust(create: typeof createHttpTransport): Promise<void> {
  using other = await createTestIssuer();
  const own = await issuer.issue({ names: ["spiffe://muin/user"] });
  const call = (options: Partial<Parameters<typeof createHttpTransport>[0]>, url: string): Promise<string> =>
    createClient(ProbeService, create({ url, token, ...options }))
      .slow({ name: "a" })
      .then(
        () => "answered",
        (error: unknown) => Code[ConnectError.from(error).code],
      );
  await using open = await startProbeServer({ tls: await issuer.issue() });
  const { http } = open.addresses;
  expect(await call({ ca: issuer.ca }, http)).toBe("answered");
  expect(await call({ ca: other.ca }, http)).toBe("Unavailable");
  expect(await call({}, http)).toBe("Unavailable");
  await using misnamed = await startProbeServer({ tls: await issuer.issue({ names: ["other.example"] }) });
  expect(await call({ ca: issuer.ca }, misnamed.addresses.http)).toBe("Unavailable");
  await using closed = await startProbeServer({ tls: { ...(await issuer.issue()), ca: issuer.ca } });
  expect(await call({ ca: issuer.ca }, closed.addresses.http)).toBe("Unavailable");
  expect(await call({ ca: issuer.ca, certificate: () => own }, closed.addresses.http)).toBe("answered");
}

test("another service is trusted by its name and issuer, and shown a certificate when it asks", () =>
  expectTrust(createHttpTransport));

test.each([
  ["nobody is verified", "ca === undefined ? {} : { ca }", "{ rejectUnauthorized: false }"],
  ["no certificate is shown", "...certificate?.()", ""],
])("the test notices when %s", async (_, from, to) => {
  type Module = { createHttpTransport: typeof createHttpTransport };
  const mutant = await importMutant<Module>(join(import.meta.dir, "create-http-transport.ts"), from, to);
  await caught(() => expectTrust(mutant.createHttpTransport));
});
