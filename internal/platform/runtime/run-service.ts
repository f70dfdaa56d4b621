import type { DescService } from "@bufbuild/protobuf";
import { systemClock } from "../clock/clock.ts";
import { systemRandom } from "../clock/random.ts";
import { ConfigError, processEnvironment, readConfig, type Environment } from "../config/read-config.ts";
import { createHttpTransport } from "../rpc/client/create-http-transport.ts";
import { createLogger } from "../telemetry/create-logger.ts";
import type { ServiceInfo } from "../service/define-service.ts";
import { callField, meshConfig, schemaFields, storeFields } from "../catalog/mesh-config.ts";
import { topology } from "../catalog/topology.ts";
import { createMuinProcess } from "./muin-process.ts";
import { processConfig } from "../catalog/process-config.ts";
import { runUntilSignal } from "../lifecycle/run-until-signal.ts";

/** Exit code of a process whose configuration cannot be used (EX_CONFIG of sysexits.h). */
const configExitCode = 78;

/**
 * Runs one service in a process of its own until a signal ends it, and exits: the whole of a binary's `main`. Stores are given as
 * `MUIN_STORE_<NAME>_URL`; a database's schema role as `MUIN_STORE_<NAME>_SCHEMA_URL` (default: the same role does both).
 */
export async function runService(info: ServiceInfo): Promise<never> {
  const env = processEnvironment();
  try {
    process.exit(await run(info, env));
  } catch (error) {
    process.stderr.write(`${error instanceof ConfigError ? error.message : String(error)}\n`);
    process.exit(error instanceof ConfigError ? configExitCode : 1);
  }
}

async function run(info: ServiceInfo, env: Environment): Promise<number> {
  const settings = readConfig("", processConfig, env);
  const mesh = readConfig("", meshConfig, env);
  const log = createLogger({ level: settings.logLevel, service: info.name, destination: "stdout" });
  const service = topology([info]).services[0]!;
  const storeUrls = readConfig("", storeFields(service), env);
  const schemaUrls = readConfig("", schemaFields(service), env);
  const storeUrl = (name: string): string => {
    const primary = service.stores.find((store) => store.name === name)?.primary;
    return storeUrls[name] || storeUrls[primary ?? ""] || "";
  };
  const muin = createMuinProcess({
    name: info.name,
    services: [info],
    settings,
    env,
    eventsUrl: mesh.eventsUrl,
    storeUrl: (_, store) => storeUrl(store),
    schemaUrl: (_, store) => schemaUrls[store] || storeUrl(store),
    grants: (decl) => {
      const store = Object.entries(info.stores).find(([, other]) => other === decl)?.[0] ?? "";
      return { dataRole: decodeURIComponent(new URL(storeUrl(store)).username) };
    },
    remote: (target: DescService) =>
      createHttpTransport({
        url: readConfig("", { call: callField(target.typeName) }, env).call || mesh.callsUrl,
        tokenFile: mesh.serviceTokenFile,
        clock: systemClock,
      }),
    clock: systemClock,
    random: systemRandom,
    log,
  });
  return runUntilSignal(
    {
      name: info.name,
      start: async () => {
        await muin.start();
        log.info("serving", { ...muin.addresses() });
        await muin.up; // A service that can never come up ends its process.
      },
      stop: () => muin.stop(),
    },
    { log, onStarted: () => Promise.resolve() },
  );
}
