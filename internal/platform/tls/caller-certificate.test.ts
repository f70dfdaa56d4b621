import { expect, test } from "bun:test";
import { join } from "node:path";
import { createTestIssuer } from "../testing/certificates.ts";
import { createCallerCertificate } from "./caller-certificate.ts";

test("what is shown to others is as the files are within a minute, or the last that could be used", async () => {
  using issuer = await createTestIssuer();
  const put = async (): Promise<string> => {
    const { cert, key } = await issuer.issue();
    issuer.write("cert.pem", cert);
    issuer.write("key.pem", key);
    return cert;
  };
  let ms = 0;
  const clock = { now: () => Date.now(), monotonic: () => ms };
  const config = {
    tlsCertFile: join(issuer.folder, "cert.pem"),
    tlsKeyFile: join(issuer.folder, "key.pem"),
    tlsClientCaFile: "",
  };
  const first = await put();
  const shown = createCallerCertificate({ config, services: ["user"], clock });
  const second = await put();
  expect(shown?.().cert).toBe(first);
  ms += 60_000;
  expect(shown?.().cert).toBe(second);
  issuer.write("key.pem", "");
  ms += 60_000;
  expect(shown?.().cert).toBe(second);
  const third = await put();
  ms += 60_000;
  expect(shown?.().cert).toBe(third);
  const none = { tlsCertFile: "", tlsKeyFile: "", tlsClientCaFile: "" };
  expect(createCallerCertificate({ config: none, services: ["user"], clock })).toBeUndefined();
});
