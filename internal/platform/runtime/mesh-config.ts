import type { DescService } from "@bufbuild/protobuf";
import { text, url, type ConfigField } from "../config/fields.ts";
import type { ServiceInfo } from "../service/define-service.ts";

/** Schemes of store URLs by kind. */
const schemes = { redis: ["redis", "rediss"], postgres: ["postgres", "postgresql"] } as const;

/** Stands for a URL that was not given, where another takes its place. */
const notGiven = "";

/** Settings that tell a process of one service where the rest of the installation is. */
export const meshConfig = {
  eventsUrl: url("EVENTS_URL", { doc: "Events store, with user and password.", schemes: schemes.redis }),
  callsUrl: url("CALLS_URL", {
    doc: "Router that carries calls to other services.",
    default: "http://127.0.0.1:8080",
    schemes: ["http", "https"],
  }),
  serviceTokenFile: text("SERVICE_TOKEN_FILE", {
    doc: "File with this service's token, as `muin keys service` issues it. Read again when it changes.",
    default: "/run/secrets/muin-service-token",
  }),
} as const;

/** Where a process of one service finds its stores, by declared name. A replica that is not given is its primary. */
export function storeFields(info: ServiceInfo): Readonly<Record<string, ConfigField<string>>> {
  return Object.fromEntries(
    Object.entries(info.stores).map(([name, decl]) => {
      const doc = `Store ${name} of ${info.name}, with user and password.`;
      const variable = `STORE_${name.toUpperCase()}_URL`;
      const options = { doc, schemes: schemes[decl.kind] };
      const primary = primaryOf(info, name);
      if (primary === undefined) return [name, url(variable, options)];
      return [name, url(variable, { ...options, doc: `${doc} Default: the store ${primary}.`, default: notGiven })];
    }),
  );
}

/** As which role a process migrates its databases, by declared name. */
export function schemaFields(info: ServiceInfo): Readonly<Record<string, ConfigField<string>>> {
  return Object.fromEntries(
    Object.entries(info.stores).flatMap(([name, decl]) =>
      decl.kind === "postgres" && decl.access === "owner"
        ? [
            [
              name,
              url(`STORE_${name.toUpperCase()}_SCHEMA_URL`, {
                doc: `Store ${name} of ${info.name} as the role that owns its schema. Default: the data role owns it.`,
                default: notGiven,
                schemes: schemes.postgres,
              }),
            ] as const,
          ]
        : [],
    ),
  );
}

/** Another way to an RPC service than the router: "muin.identity.v1.ApiKeyService" is `MUIN_CALL_API_KEY_URL`. */
export function callField(target: DescService): ConfigField<string> {
  const words = target.name.replace(/Service$/, "").replaceAll(/(?<=[a-z])(?=[A-Z])/g, "_");
  return url(`CALL_${words.toUpperCase()}_URL`, {
    doc: `Address of ${target.name}. Default: the router.`,
    default: notGiven,
    schemes: ["http", "https"],
  });
}

/** The declared store that stands in for a replica; `undefined` for anything else. */
export function primaryOf({ stores }: ServiceInfo, replica: string): string | undefined {
  const decl = stores[replica];
  if (decl?.kind !== "redis" || decl.role !== "replica") return undefined;
  return Object.entries(stores).find(
    ([, other]) => other.kind === "redis" && other.role === "primary" && other.server === decl.server,
  )?.[0];
}
