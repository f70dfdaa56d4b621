import { X509Certificate } from "node:crypto";
import { once } from "node:events";
import { expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { connect, createServer } from "node:tls";
import type { AddressInfo } from "node:net";
import { systemClock, type Clock } from "../clock/clock.ts";
import type { Logger } from "../telemetry/logger.ts";
import { createHeldClock } from "../testing/held-clock.ts";
import { eventually } from "../testing/eventually.ts";
import { caught, importMutant } from "../testing/mutant.ts";
import { createLocalCertificate } from "./local-certificate.ts";

const log: Logger = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {}, child: () => log };
const dayMs = 86_400_000;

/** A data folder, and what stands in the files of its certificate. */
function createPlace() {
  const path = mkdtempSync(join(tmpdir(), "muin-local-certificate-"));
  const read = (name: string): string => readFileSync(join(path, "tls", name), "utf8");
  const all = () => ({ ca: read("ca.pem"), cert: read("cert.pem"), key: read("key.pem") });
  return { path, all, [Symbol.dispose]: () => rmSync(path, { recursive: true }) };
}

async function keep(
  path: string,
  options: { readonly clock?: Clock; readonly host?: string; readonly create?: typeof createLocalCertificate } = {},
): Promise<void> {
  const { clock = systemClock, host = "127.0.0.1", create = createLocalCertificate } = options;
  const certificate = create({ path, host, clock, log });
  await certificate.start();
  await certificate.stop();
}

const later = (days: number): Clock => ({ ...systemClock, now: () => systemClock.now() + days * dayMs });

test("this machine is believed by those who trust the issuer, by each of its names", async () => {
  using place = createPlace();
  await keep(place.path, { host: "192.0.2.7" });
  const { ca, cert, key } = place.all();
  const server = createServer({ cert, key }, (socket) => socket.end()).listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  for (const servername of ["localhost", hostname()]) {
    const socket = connect({ port, host: "127.0.0.1", servername, ca });
    await once(socket, "secureConnect");
    socket.destroy();
  }
  server.close();
  const certificate = new X509Certificate(cert);
  for (const address of ["127.0.0.1", "::1", "192.0.2.7"]) expect(certificate.checkIP(address)).toBe(address);
  expect(certificate.checkHost("other.example")).toBeUndefined();
  expect(new X509Certificate(ca).ca).toBe(true);
  expect(certificate.ca).toBe(false);
  const modes = ["ca-key.pem", "key.pem"].map((name) => statSync(join(place.path, "tls", name)).mode & 0o777);
  expect(modes).toEqual([0o600, 0o600]);
});

async function expectToLast(create: typeof createLocalCertificate): Promise<void> {
  using place = createPlace();
  await keep(place.path, { create });
  const first = place.all();
  await keep(place.path, { create });
  await keep(place.path, { create, clock: later(44) });
  expect(place.all()).toEqual(first);
  await keep(place.path, { create, clock: later(46) });
  const second = place.all();
  expect([second.ca === first.ca, second.cert === first.cert]).toEqual([true, false]);
  await keep(place.path, { create, clock: later(46), host: "192.0.2.7" });
  const third = place.all();
  expect([third.ca === first.ca, third.cert === second.cert]).toEqual([true, false]);
  await keep(place.path, { create, clock: later(3600) });
  expect(place.all().ca).not.toBe(first.ca);
  const fourth = place.all();
  expect(new X509Certificate(fourth.cert).verify(new X509Certificate(fourth.ca).publicKey)).toBe(true);
  writeFileSync(join(place.path, "tls", "cert.pem"), first.cert);
  await keep(place.path, { create });
  expect(place.all().cert).not.toBe(first.cert); // It is not by this issuer.
}

test("both are kept from start to start, and replaced before their end and for new names", () =>
  expectToLast(createLocalCertificate));

test.each([
  ["it is made anew each time", "isFor(pair.cert, names, issuer)) return;", "isFor(pair.cert, names, issuer)) void 0;"],
  ["its end is not looked at", "isValid(pair.cert, nowMs, leftMsMin) &&", ""],
  ["its issuer's end is not looked at", "isValid(known.cert, nowMs, certificateLifeMs)", "true"],
  [
    "its issuer is not looked at",
    "if (!certificate.verify(new X509Certificate(issuer.cert).publicKey)) return false;",
    "",
  ],
])("the test notices when %s", async (_, from, to) => {
  type Module = { createLocalCertificate: typeof createLocalCertificate };
  const mutant = await importMutant<Module>(join(import.meta.dir, "local-certificate.ts"), from, to);
  await caught(() => expectToLast(mutant.createLocalCertificate));
});

test("it is replaced while Muin runs", async () => {
  using place = createPlace();
  const clock = createHeldClock();
  const certificate = createLocalCertificate({ path: place.path, host: "127.0.0.1", clock, log });
  await certificate.start();
  const first = place.all();
  await eventually(() => expect(clock.asleep()).toEqual([3_600_000]));
  await clock.pass(46 * dayMs);
  await eventually(() => expect(place.all().cert).not.toBe(first.cert));
  clock.release();
  await certificate.stop();
});
