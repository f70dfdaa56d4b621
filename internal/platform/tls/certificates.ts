import { watch, type FSWatcher } from "node:fs";
import { dirname } from "node:path";
import type { Clock } from "../clock/clock.ts";
import { ConfigError } from "../config/read-config.ts";
import { createBell } from "../lifecycle/bell.ts";
import type { Component } from "../lifecycle/component.ts";
import { createLoop } from "../lifecycle/loop.ts";
import type { Logger } from "../telemetry/logger.ts";
import type { Metrics } from "../telemetry/metrics.ts";
import { readCertificate, type Certificate } from "./certificate.ts";
import type { TlsConfig } from "./tls-config.ts";

/** The certificate of a process, and what becomes of it while it runs. */
export interface Certificates extends Component {
  /** The one that was read first. */
  readonly first: Certificate;
  /** What whoever runs it should set right: a change that cannot be used, and an end that is near. */
  notices(): readonly string[];
}

/** How often files are read without a sign that they changed, in milliseconds: not every file system gives one. */
const pollMs = 60_000;
/** Certificate and key are written one after the other: how long after a sign the files are read, in milliseconds. */
const settleMs = 100;
/** Share of its life below which a certificate should have been renewed. */
const renewalShare = 1 / 3;

/**
 * Opens the certificate that settings name and follows its files; `undefined` when they name none. `use` is told of each new one; one
 * that is refused, there or by the checks, leaves the old one in place and is named in log, metric and notices. Throws `ConfigError`
 * when the first one cannot be used.
 */
export function openCertificates(options: {
  readonly config: TlsConfig;
  /** Services that run here. */
  readonly services: readonly string[];
  use(certificate: Certificate): void;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
}): Certificates | undefined {
  const { config, services, clock, log, metrics } = options;
  const read = () => readCertificate(config, { nowMs: clock.now(), services });
  const first = read();
  if (first === undefined) return undefined;
  let current = first;
  let problem: string | undefined;
  const ends = metrics.gauge({
    name: "certificate_not_after_seconds",
    help: "When the certificate of both ports ends, in seconds since 1970.",
  });
  const refusals = metrics.counter({
    name: "certificate_refusals_total",
    help: "Changed certificates that could not be used, so that the old one stayed.",
  });
  ends.set(current.notAfterMs / 1000);

  const look = (): void => {
    try {
      const next = read();
      if (next === undefined) return;
      if (!isSame(current, next)) {
        options.use(next);
        current = next;
        ends.set(next.notAfterMs / 1000);
        log.info("certificate changed", { notAfter: new Date(next.notAfterMs).toISOString() });
      }
      problem = undefined;
    } catch (error) {
      const found = error instanceof ConfigError ? error.problems.join("; ") : String(error);
      if (found === problem) return; // Once per problem: it is looked at every minute.
      problem = found;
      refusals.add(1);
      log.error("the changed certificate cannot be used, the old one stays", { reason: found });
    }
  };
  return {
    ...createFollower(config, clock, look, log),
    first,
    notices: () => [
      ...(problem === undefined ? [] : [`the changed certificate cannot be used, the old one stays: ${problem}`]),
      ...(current.notAfterMs - clock.now() > current.lifeMs * renewalShare
        ? []
        : [`the certificate in ${config.tlsCertFile} ends on ${new Date(current.notAfterMs).toISOString()}: renew it`]),
    ],
  };
}

/** Looks when something moved in a folder of the files, and every minute. */
function createFollower(config: TlsConfig, clock: Clock, look: () => void, log: Logger): Component {
  const bell = createBell();
  let watchers: readonly FSWatcher[] = [];
  const loop = createLoop({
    name: "certificates",
    clock,
    everyMs: settleMs,
    work: async (signal) => {
      bell.reset();
      look();
      await bell.wait(clock, pollMs, signal);
    },
    onFailure: (error) => log.error("certificates were not looked at", { err: error }),
  });
  return {
    name: loop.name,
    start: () => {
      const files = [config.tlsCertFile, config.tlsKeyFile, config.tlsClientCaFile].filter((path) => path !== "");
      // The folders: a file that is replaced by another, or by a link to another, is not the one that was watched.
      watchers = [...new Set(files.map((path) => dirname(path)))].flatMap((folder) =>
        watchFolder(folder, bell.ring, log),
      );
      return loop.start();
    },
    stop: async () => {
      for (const watcher of watchers) watcher.close();
      await loop.stop();
    },
  };
}

function watchFolder(folder: string, onMove: () => void, log: Logger): readonly FSWatcher[] {
  try {
    const watcher = watch(folder, { persistent: false }, onMove);
    watcher.on("error", (error) =>
      log.warn("a folder of certificates is not watched, but read every minute", { folder, err: error }),
    );
    return [watcher];
  } catch (error) {
    log.warn("a folder of certificates is not watched, but read every minute", { folder, err: error });
    return [];
  }
}

function isSame(a: Certificate, b: Certificate): boolean {
  return a.cert === b.cert && a.key === b.key && a.ca === b.ca;
}
