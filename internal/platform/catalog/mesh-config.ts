import { path, text, url, type ConfigField, type ConfigValues } from "../config/fields.ts";
import { ConfigError, variableOf } from "../config/read-config.ts";
import { brokerSchemes } from "../events/open-broker.ts";
import { leaseSchemes } from "../lease/open-leases.ts";
import { callSetting, folderSetting, schemaSetting, serviceSetting, storeSetting } from "./setting-names.ts";
import { caFileField } from "../tls/tls-config.ts";
import type { ServiceTopology, Topology } from "./topology.ts";

/** Schemes of store URLs by kind. */
const schemes = { redis: ["redis", "rediss"], postgres: ["postgres", "postgresql"] } as const;

/** Header that names a service to the router, where every service could answer. */
export const serviceHeader = "muin-service";

/** Stands for a URL that was not given, where another takes its place. */
const notGiven = "";

/** Settings that tell a process of one service where the rest of the installation is. */
export const meshConfig = {
  eventsUrl: url("EVENTS_URL", { doc: "Events store, with user and password.", schemes: brokerSchemes }),
  coordinationUrl: url("COORDINATION_URL", {
    doc: "Redis that keeps leases and the nonces of signed calls, with user and password. Default: the events store, where that is a Redis.",
    default: notGiven,
    schemes: leaseSchemes,
  }),
  callsUrl: url("CALLS_URL", {
    doc: "Router that carries calls to other services.",
    default: "http://127.0.0.1:8080",
    schemes: ["http", "https"],
  }),
  caFile: caFileField,
  bootstrapSecretFile: text("BOOTSTRAP_SECRET_FILE", {
    doc: "File with the secret by which this service gets its tokens, as `muin services secret` issues it. Read at each renewal.",
    default: "/run/secrets/muin-bootstrap-secret",
  }),
} as const;

/** Where leases are kept. Throws `ConfigError` when nothing says it: the events store is no Redis. */
export function coordinationUrlOf({
  eventsUrl,
  coordinationUrl,
}: Pick<ConfigValues<typeof meshConfig>, "eventsUrl" | "coordinationUrl">): string {
  if (coordinationUrl !== notGiven) return coordinationUrl;
  if (leaseSchemes.some((scheme) => eventsUrl.startsWith(`${scheme}://`))) return eventsUrl;
  const { name, accepts } = meshConfig.coordinationUrl;
  throw new ConfigError([
    `${variableOf("", name)} is missing: it must be given where events are not in a Redis (${accepts})`,
  ]);
}

/** Where a folder of a service's own is. */
function folderField(service: ServiceTopology, name: string): ConfigField<string> {
  return path(folderSetting(name), {
    doc: `Folder ${name} of ${service.name}, on a local disk, for one process at a time. Made when absent.`,
  });
}

/** Where a process of one service finds its stores, by declared name: URLs, and paths of folders. A replica that is not given is its primary. */
export function storeFields(service: ServiceTopology): Readonly<Record<string, ConfigField<string>>> {
  return Object.fromEntries(
    service.stores.map(({ name, kind, primary }) => {
      if (kind === "folder") return [name, folderField(service, name)];
      const doc = `Store ${name} of ${service.name}, with user and password.`;
      const options = { doc, schemes: schemes[kind] };
      const setting = storeSetting(name);
      if (primary === undefined) return [name, url(setting, options)];
      return [name, url(setting, { ...options, doc: `${doc} Default: the store ${primary}.`, default: notGiven })];
    }),
  );
}

/** As which role a process migrates its databases, by declared name. */
export function schemaFields(service: ServiceTopology): Readonly<Record<string, ConfigField<string>>> {
  const owned = service.stores.filter((store) => store.schemaVariable !== undefined);
  return Object.fromEntries(
    owned.map(({ name }) => [
      name,
      url(schemaSetting(name), {
        doc: `Store ${name} of ${service.name} as the role that owns its schema. Default: the data role owns it.`,
        default: notGiven,
        schemes: schemes.postgres,
      }),
    ]),
  );
}

/** Other ways than the router to the RPC services that a service calls, by full name. */
export function callFields(service: ServiceTopology): Readonly<Record<string, ConfigField<string>>> {
  return Object.fromEntries(service.calls.map(({ rpcService }) => [rpcService, callField(rpcService)]));
}

/** Another way to an RPC service than the router: "muin.identity.v1.ApiKeyService" is `MUIN_CALL_API_KEY_URL`. */
export function callField(rpcService: string): ConfigField<string> {
  return url(callSetting(rpcService), {
    doc: `Address of ${rpcService}. Default: the router.`,
    default: notGiven,
    schemes: ["http", "https"],
  });
}

/** Other ways than the router to the processes that a service asks for what they hold of people, by name of the service. */
export function holderFields(
  service: ServiceTopology,
  { personalDataHolders }: Pick<Topology, "personalDataHolders">,
): Readonly<Record<string, ConfigField<string>>> {
  if (!service.collectsPersonalData) return {};
  return Object.fromEntries(personalDataHolders.map((holder) => [holder, holderField(holder)]));
}

/** Another way to the process of a service than the router. */
function holderField(service: string): ConfigField<string> {
  return url(serviceSetting(service), {
    doc: `Address of ${service}. Default: the router, which finds it by the header ${serviceHeader}.`,
    default: notGiven,
    schemes: ["http", "https"],
  });
}
