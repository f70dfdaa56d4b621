import type { DescService } from "@bufbuild/protobuf";
import { systemClock } from "../clock/clock.ts";
import { systemRandom } from "../clock/random.ts";
import { text } from "../config/fields.ts";
import { ConfigError, processEnvironment, readConfig, variableOf, type Environment } from "../config/read-config.ts";
import { createHttpTransport } from "../resilience/create-http-transport.ts";
import { createLogger } from "../telemetry/create-logger.ts";
import type { ServiceInfo } from "./define-service.ts";
import { createMuinProcess } from "./muin-process.ts";
import { platformConfig } from "./platform-config.ts";
import { runUntilSignal } from "./run-until-signal.ts";

/** Settings that say where a process of one service finds the rest. */
export const meshConfig = {
  eventsUrl: text("EVENTS_URL", { doc: "Events store: redis://user:password@host:port." }),
  callsUrl: text("CALLS_URL", {
    doc: "Router that carries calls to other services. MUIN_CALL_<SERVICE>_URL names another way for one RPC service.",
    default: "http://127.0.0.1:8080",
  }),
  serviceTokenFile: text("SERVICE_TOKEN_FILE", {
    doc: "File with this service's token, as `muin keys service` issues it. Read again when it changes.",
    default: "/run/secrets/muin-service-token",
  }),
} as const;

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
  const settings = readConfig("", platformConfig, env);
  const mesh = readConfig("", meshConfig, env);
  const log = createLogger({ level: settings.logLevel, service: info.name, destination: "stdout" });
  const storeUrls = readStoreUrls(info, env);
  const storeUrl = (name: string): string => {
    const url = storeUrls.get(name);
    if (url === undefined) throw new Error(`${info.name} declares no store "${name}"`);
    return url;
  };
  const muin = createMuinProcess({
    name: info.name,
    services: [info],
    settings,
    env,
    eventsUrl: mesh.eventsUrl,
    storeUrl: (_, store) => storeUrl(store),
    schemaUrl: (_, store) => env[`${storeVariable(store)}_SCHEMA_URL`] ?? storeUrl(store),
    grants: (decl) => {
      const store = Object.entries(info.stores).find(([, other]) => other === decl)?.[0] ?? "";
      return { dataRole: decodeURIComponent(new URL(storeUrl(store)).username) };
    },
    remote: (target: DescService) =>
      createHttpTransport({
        url: env[variableOf("", `CALL_${callName(target)}_URL`)] ?? mesh.callsUrl,
        tokenFile: mesh.serviceTokenFile,
        clock: systemClock,
      }),
    clock: systemClock,
    random: systemRandom,
    log,
  });
  muin.up.catch((error: unknown) => {
    log.error("the service cannot come up", { err: error });
    process.exitCode = 1;
    process.kill(process.pid, "SIGTERM");
  });
  return runUntilSignal(muin, {
    log,
    onStarted: async () => log.info("serving", { ...muin.addresses() }),
  });
}

/** Store URLs by declared name. A replica that is not given is its primary. */
function readStoreUrls(info: ServiceInfo, env: Environment): ReadonlyMap<string, string> {
  const fields = Object.fromEntries(
    Object.entries(info.stores).map(([name, decl]) => {
      const primary = Object.entries(info.stores).find(
        ([other, { kind }]) => other !== name && kind === "redis" && isPrimaryOf(info, other, name),
      )?.[0];
      const fallback =
        decl.kind === "redis" && decl.role === "replica" && primary !== undefined
          ? env[`${storeVariable(primary)}_URL`]
          : undefined;
      const doc = `Store ${name} of ${info.name}.`;
      return [
        name,
        text(`STORE_${name.toUpperCase()}_URL`, fallback === undefined ? { doc } : { doc, default: fallback }),
      ];
    }),
  );
  return new Map(Object.entries(readConfig("", fields, env)));
}

function isPrimaryOf(info: ServiceInfo, primary: string, replica: string): boolean {
  const one = info.stores[primary];
  const other = info.stores[replica];
  return one?.kind === "redis" && other?.kind === "redis" && one.role === "primary" && one.server === other.server;
}

function storeVariable(name: string): string {
  return variableOf("", `STORE_${name.toUpperCase()}`);
}

/** "muin.identity.v1.ApiKeyService" is API_KEY in `MUIN_CALL_API_KEY_URL`. */
function callName(target: DescService): string {
  return target.name
    .replace(/Service$/, "")
    .replaceAll(/(?<=[a-z])(?=[A-Z])/g, "_")
    .toUpperCase();
}
