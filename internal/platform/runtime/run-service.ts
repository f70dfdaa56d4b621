import type { DescService } from "@bufbuild/protobuf";
import type { Transport } from "@connectrpc/connect";
import { askersOf, consumedTopics } from "../catalog/bus-topics.ts";
import { checkCatalog } from "../catalog/check-catalog.ts";
import {
  callField,
  callFields,
  holderFields,
  coordinationUrlOf,
  meshConfig,
  schemaFields,
  serviceHeader,
  storeFields,
} from "../catalog/mesh-config.ts";
import { processConfig } from "../catalog/process-config.ts";
import { serviceCallersOf } from "../catalog/service-callers.ts";
import { topology, type ServiceTopology, type Topology } from "../catalog/topology.ts";
import { systemClock } from "../clock/clock.ts";
import { systemRandom } from "../clock/random.ts";
import { createTokenRenewal, renewingService } from "../identity/auth-client.ts";
import { createServiceToken } from "../identity/service-token.ts";
import type { ConfigField } from "../config/fields.ts";
import { ConfigError, processEnvironment, readConfig, variableOf, type Environment } from "../config/read-config.ts";
import { runUntilSignal } from "../lifecycle/run-until-signal.ts";
import { leaveRoot } from "../local/leave-root.ts";
import { giveOwnFolder } from "../local/own-folder.ts";
import type { SystemUser } from "../local/system-user.ts";
import { createHttpTransport } from "../rpc/client/create-http-transport.ts";
import type { ServiceInfo } from "../service/define-service.ts";
import { createLogger } from "../telemetry/create-logger.ts";
import { createCallerCertificate } from "../tls/caller-certificate.ts";
import { readIssuers } from "../tls/certificate.ts";
import { checkUrls, withIssuers } from "../tls/remote-urls.ts";
import { checkMailUrl } from "./mail-url.ts";
import type { TlsConfig } from "../tls/tls-config.ts";
import { sayRunsAs } from "./own-account.ts";
import { createMuinProcess, type MuinProcessOptions } from "./muin-process.ts";

/** Exit code of a process whose configuration cannot be used (EX_CONFIG of sysexits.h). */
const configExitCode = 78;

/**
 * Runs one service of a catalogue in a process of its own until a signal ends it, and exits: the whole of a binary's `main`. Stores
 * are given as `MUIN_STORE_<NAME>_URL`; a database's schema role as `MUIN_STORE_<NAME>_SCHEMA_URL` (default: the same role does
 * both).
 */
export async function runService(info: ServiceInfo, catalog: readonly ServiceInfo[]): Promise<never> {
  const env = processEnvironment();
  try {
    process.exit(await run(info, catalog, env));
  } catch (error) {
    process.stderr.write(`${error instanceof ConfigError ? error.message : String(error)}\n`);
    process.exit(error instanceof ConfigError ? configExitCode : 1);
  }
}

async function run(info: ServiceInfo, catalog: readonly ServiceInfo[], env: Environment): Promise<number> {
  const problems = checkCatalog(catalog);
  if (problems.length > 0) throw new Error(problems.join("; "));
  const settings = readConfig("", processConfig, env);
  const mesh = readConfig("", meshConfig, env);
  const log = createLogger({ level: settings.logLevel, service: info.name, destination: "stdout" });
  const plan = topology(catalog);
  const service = plan.services.find(({ name }) => name === info.name);
  if (service === undefined) throw new Error(`the catalogue does not list ${info.name}`);
  const storeValues = readConfig("", storeFields(service), env);
  const runsAs = await leaveRoot({ ...settings, handOver: (account) => giveFolders(service, storeValues, account) });
  sayRunsAs(runsAs, log);
  const trust = trustFrom(service, { ...settings, ...mesh }, env);
  trust.read([
    meshConfig.eventsUrl,
    meshConfig.coordinationUrl,
    meshConfig.callsUrl,
    ...[urlsOf(service), schemaFields(service), callFields(service), holderFields(service, plan)].flatMap((fields) =>
      Object.values(fields),
    ),
  ]);
  checkMailUrl(env, settings);
  const [renewUrl = ""] = trust.read([callField(renewingService.typeName)]);
  const token = createServiceToken({
    secretFile: mesh.bootstrapSecretFile,
    renew: createTokenRenewal(createHttpTransport({ ...trust.calls, url: renewUrl || mesh.callsUrl, token: noToken })),
    clock: systemClock,
    log,
  });
  const muin = createMuinProcess({
    ...storesFrom(info, service, plan, { storeValues, caFile: mesh.caFile }, env),
    name: info.name,
    services: [info],
    personalDataHolders: plan.personalDataHolders,
    serviceCallers: serviceCallersOf(catalog),
    consumedTopics: (consumption) => consumedTopics(consumption, catalog),
    hasPeers: true,
    runsAs,
    askers: (of) => askersOf(of, catalog),
    settings,
    env,
    eventsUrl: withIssuers(mesh.eventsUrl, mesh.caFile),
    coordinationUrl: withIssuers(coordinationUrlOf(mesh), mesh.caFile),
    serviceToken: info.serves.includes(renewingService) ? undefined : token,
    remote: remoteFrom(plan, service, { trust, callsUrl: mesh.callsUrl, token: () => token.current() }, env),
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
        if (!info.standsAlone) await muin.up; // A service that can never come up ends its process.
      },
      stop: () => muin.stop(),
    },
    { log, onStarted: () => Promise.resolve() },
  );
}

/** Whom the process trusts, and what it shows to those that ask for a certificate. */
interface ProcessTrust {
  readonly calls: Pick<Parameters<typeof createHttpTransport>[0], "ca" | "certificate">;
  /**
   * The URLs that settings name, in order. Throws `ConfigError` for a server that would be reached without TLS, or with one that verifies nobody,
   * unless that is said to be meant.
   */
  read(fields: readonly ConfigField<string>[]): readonly string[];
}

function trustFrom(
  { name }: ServiceTopology,
  settings: TlsConfig & { readonly insecure: boolean; readonly caFile: string },
  env: Environment,
): ProcessTrust {
  const nowMs = systemClock.now();
  const caVariable = variableOf("", meshConfig.caFile.name);
  const certificate = createCallerCertificate({ config: settings, services: [name], clock: systemClock });
  return {
    calls: {
      ...(settings.caFile === "" ? {} : { ca: readIssuers(caVariable, settings.caFile, nowMs) }),
      ...(certificate === undefined ? {} : { certificate }),
    },
    read: (fields) => {
      const urls = fields.map((field) => ({
        variable: variableOf("", field.name),
        ...readConfig("", { url: field }, env),
      }));
      checkUrls(urls, { insecure: settings.insecure, caVariable, caFile: settings.caFile, nowMs });
      return urls.map(({ url }) => url);
    },
  };
}

/** Where the service's stores are, by its settings. */
function storesFrom(
  info: ServiceInfo,
  service: ServiceTopology,
  { databases }: Pick<Topology, "databases">,
  { storeValues, caFile }: { readonly storeValues: Readonly<Record<string, string>>; readonly caFile: string },
  env: Environment,
): Pick<MuinProcessOptions, "storeUrl" | "storePath" | "schemaUrl" | "grants"> {
  const schemaUrls = readConfig("", schemaFields(service), env);
  const storeUrl = (name: string): string => {
    const primary = service.stores.find((store) => store.name === name)?.primary;
    return withIssuers(storeValues[name] || storeValues[primary ?? ""] || "", caFile);
  };
  return {
    storeUrl: (_, store) => storeUrl(store),
    storePath: (_, store) => storeValues[store] ?? "",
    schemaUrl: (_, store) => withIssuers(schemaUrls[store] ?? "", caFile) || storeUrl(store),
    grants: (decl) => {
      const store = Object.entries(info.stores).find(([, other]) => other === decl)?.[0] ?? "";
      const { readers = [] } = databases.find(({ database }) => database === decl.database) ?? {};
      return { dataRole: decodeURIComponent(new URL(storeUrl(store)).username), readers };
    },
  };
}

/** The settings that name stores by URLs. */
function urlsOf(service: ServiceTopology): Readonly<Record<string, ConfigField<string>>> {
  return storeFields({ ...service, stores: service.stores.filter(({ kind }) => kind !== "folder") });
}

/** Gives the folders of a service to the account that its process goes on as. */
async function giveFolders(
  { stores }: ServiceTopology,
  paths: Readonly<Record<string, string>>,
  account: SystemUser,
): Promise<void> {
  for (const { name } of stores.filter(({ kind }) => kind === "folder"))
    await giveOwnFolder(paths[name] ?? "", account);
}

function noToken(): Promise<string> {
  return Promise.reject(new Error("a token is renewed without one"));
}

/** How other services are reached: through the router, unless a setting names another address. */
function remoteFrom(
  plan: Topology,
  service: ServiceTopology,
  mesh: { readonly trust: ProcessTrust; readonly callsUrl: string; readonly token: () => Promise<string> },
  env: Environment,
): (target: DescService, holder?: string) => Transport {
  const holderUrls = readConfig("", holderFields(service, plan), env);
  const { trust, callsUrl, token } = mesh;
  const common = { ...trust.calls, token };
  return (target, holder) => {
    if (holder !== undefined) {
      const url = holderUrls[holder] || callsUrl;
      return createHttpTransport({ ...common, url, headers: { [serviceHeader]: holder } });
    }
    const [url = ""] = trust.read([callField(target.typeName)]); // Not every target is in the declaration.
    return createHttpTransport({ ...common, url: url || callsUrl });
  };
}
