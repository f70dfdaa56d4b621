import { expect, test } from "bun:test";
import { mkdirSync, renameSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { systemClock } from "../clock/clock.ts";
import { ConfigError } from "../config/read-config.ts";
import type { Logger } from "../telemetry/logger.ts";
import { createMetrics } from "../telemetry/create-metrics.ts";
import { createTestIssuer, type TestIssuer } from "../testing/certificates.ts";
import { eventually } from "../testing/eventually.ts";
import { caught, importMutant } from "../testing/mutant.ts";
import type { CertificatePair } from "./issuer.ts";
import { openCertificates } from "./certificates.ts";

/** A folder of files that are all replaced at once by one link, as Kubernetes mounts its secrets. */
function mount({ folder }: TestIssuer) {
  let version = 0;
  const publish = ({ cert, key }: CertificatePair): void => {
    const name = `..v${++version}`;
    mkdirSync(join(folder, name));
    writeFileSync(join(folder, name, "tls.crt"), cert);
    writeFileSync(join(folder, name, "tls.key"), key);
    symlinkSync(name, join(folder, "..next"));
    renameSync(join(folder, "..next"), join(folder, "..data"));
  };
  for (const name of ["tls.crt", "tls.key"]) symlinkSync(join("..data", name), join(folder, name));
  const config = { tlsCertFile: join(folder, "tls.crt"), tlsKeyFile: join(folder, "tls.key"), tlsClientCaFile: "" };
  return { publish, config };
}

function openIn(config: Parameters<typeof openCertificates>[0]["config"], open = openCertificates) {
  const used: string[] = [];
  const lines: string[] = [];
  const note = (message: string): void => void lines.push(message);
  const log: Logger = { debug: note, info: note, warn: note, error: note, child: () => log };
  const metrics = createMetrics();
  const clock = { ...systemClock, offsetMs: 0, now: () => systemClock.now() + clock.offsetMs };
  const use = ({ cert }: CertificatePair): void => {
    if (cert.includes("refused")) throw new Error("the server refuses it");
    used.push(cert);
  };
  const certificates = open({ config, services: ["muin"], use, clock, log, metrics });
  if (certificates === undefined) throw new Error("no certificate is named");
  const valueOf = async (metric: string): Promise<number> =>
    Number(new RegExp(`^muin_${metric} (.*)$`, "m").exec(await metrics.render())?.[1]);
  return { certificates, used, lines, clock, valueOf };
}

async function expectToFollow(open: typeof openCertificates, timeoutMs: number): Promise<void> {
  using issuer = await createTestIssuer();
  const { publish, config } = mount(issuer);
  const first = await issuer.issue();
  publish(first);
  const { certificates, used, valueOf } = openIn(config, open);
  expect(certificates.first.cert).toBe(first.cert);
  await certificates.start();
  try {
    for (let round = 0; round < 3; round++) {
      const next = await issuer.issue({ lifeMs: 3 * 3_600_000 });
      publish(next);
      await eventually(() => expect(used.at(-1)).toBe(next.cert), { timeoutMs });
    }
    expect(used).toHaveLength(3);
    expect(await valueOf("certificate_not_after_seconds")).toBeWithin(
      Date.now() / 1000 + 7100,
      Date.now() / 1000 + 7300,
    );
  } finally {
    await certificates.stop();
  }
}

test("files that a link replaces are used at once", () => expectToFollow(openCertificates, 5000));

test("the test notices when the files are watched, not their folder", async () => {
  type Module = { openCertificates: typeof openCertificates };
  const path = join(import.meta.dir, "certificates.ts");
  const mutant = await importMutant<Module>(path, "files.map((path) => dirname(path))", "files");
  await caught(() => expectToFollow(mutant.openCertificates, 1000));
});

test("a change that cannot be used leaves the old one, and is told by log, metric and notice until it is mended", async () => {
  using issuer = await createTestIssuer();
  const { publish, config } = mount(issuer);
  const first = await issuer.issue();
  const second = await issuer.issue();
  publish(first);
  const { certificates, used, lines, valueOf } = openIn(config);
  await certificates.start();
  try {
    for (const bad of [
      { cert: second.cert, key: first.key },
      { cert: "", key: second.key },
      { cert: `refused\n${second.cert}`, key: second.key },
    ]) {
      const before = await valueOf("certificate_refusals_total");
      publish(bad);
      await eventually(async () => expect(await valueOf("certificate_refusals_total")).toBe(before + 1));
      expect(certificates.notices()).toEqual([
        expect.stringContaining("the changed certificate cannot be used, the old one stays: "),
      ]);
      expect(lines.at(-1)).toBe("the changed certificate cannot be used, the old one stays");
    }
    expect(used).toEqual([]);
    publish(second);
    await eventually(() => expect(used).toEqual([second.cert]));
    expect(certificates.notices()).toEqual([]);
  } finally {
    await certificates.stop();
  }
});

test("a certificate in the last third of its life is named", async () => {
  using issuer = await createTestIssuer();
  const { publish, config } = mount(issuer);
  publish(await issuer.issue({ fromMs: Date.now() - 60_000, lifeMs: 3_600_000 }));
  const { certificates, clock } = openIn(config);
  expect(certificates.notices()).toEqual([]);
  clock.offsetMs = 2_400_000;
  expect(certificates.notices()).toEqual([
    expect.stringContaining(`the certificate in ${config.tlsCertFile} ends on 2`),
  ]);
});

test("a first one that cannot be used is refused", async () => {
  using issuer = await createTestIssuer();
  const { publish, config } = mount(issuer);
  publish({ cert: (await issuer.issue()).cert, key: (await issuer.issue()).key });
  expect(() => openIn(config)).toThrow(ConfigError);
});
