import {
  aclOf,
  environmentOf,
  managedStores,
  sqlOf,
  type ManagedRedis,
  type ManagedStores,
} from "../../../internal/platform/catalog/managed-stores.ts";
import { postgresVersionMin } from "../../../internal/platform/local/postgres-binaries.ts";
import { redisVersion } from "../../../internal/platform/local/redis-binary.ts";
import { Failure } from "../terminal/failure.ts";
import { localCommand } from "../terminal/command.ts";
import type { Output } from "../terminal/output.ts";

const formats = ["all", "sql", "acl", "env", "json"] as const;

/** `muin config stores`. */
export const stores = localCommand({
  name: "stores",
  description:
    "print roles, grants and ACL lines for PostgreSQL and Redis servers that others manage; {{...}} stands for a password",
  options: {
    format: {
      value: "format",
      help: "sql for psql, acl for Redis, env for the services, json for a program, or all",
      choices: formats,
    },
    server: { value: "name", help: "the ACL file of this Redis server alone" },
    service: { value: "name", help: "the environment of this service alone" },
  },
  examples: [
    "muin config stores",
    "muin config stores --format sql > roles.sql",
    "muin config stores --server events > events.acl",
    "muin config stores --service auth > auth.env",
  ],
  run: async ({ format = "all", server, service }, { output }) => {
    // Loaded when asked for: most commands need no service.
    const { catalog } = await import("../../../internal/catalog.ts");
    const managed = managedStores(catalog);
    if (format === "json") return output.json(asJson(managed));
    const { redisServers, services } = managed;
    if (server !== undefined) return printText(aclOf(named(redisServers, ({ server: name }) => name, server)), output);
    if (service !== undefined) {
      return printText(
        environmentOf(
          named(services, ({ name }) => name, service),
          managed,
        ),
        output,
      );
    }
    if (format === "all" || format === "sql") printText(`${sqlHead}\n${sqlOf(managed)}`, output);
    if (format === "all" || format === "acl") for (const each of redisServers) printRedis(each, output);
    if (format === "all" || format === "env") {
      for (const each of services) printText(`# ${each.name}\n${environmentOf(each, managed)}\n`, output);
    }
  },
});

const sqlHead = `-- PostgreSQL ${postgresVersionMin} or later: for psql, as a role that may make roles and databases. Put a password for each {{...}}.`;

function printRedis(redis: ManagedRedis, output: Output): void {
  const settings = redis.settings.map((line) => `#   ${line}`);
  const head = [
    `# Redis ${redis.server}: ${redis.purpose}. Version ${redisVersion} or later, no cluster, the user "default" off or with a password.`,
    ...settings,
  ];
  printText(`${head.join("\n")}\n${aclOf(redis)}\n`, output);
}

function printText(text: string, output: Output): void {
  output.print(text.replace(/\n$/, ""));
}

function named<T>(all: readonly T[], nameOf: (one: T) => string, name: string): T {
  const found = all.find((one) => nameOf(one) === name);
  if (found !== undefined) return found;
  throw new Failure("failed", `there is no "${name}"; there are ${all.map(nameOf).join(", ")}`);
}

function asJson(managed: ManagedStores): unknown {
  return {
    postgres: { databases: managed.databases, sql: sqlOf(managed).split("\n") },
    redis: managed.redisServers.map((redis) => ({
      server: redis.server,
      purpose: redis.purpose,
      settings: redis.settings,
      acl: aclOf(redis).trimEnd().split("\n"),
    })),
    services: managed.services.map((service) => ({
      service: service.name,
      env: environmentOf(service, managed).trimEnd().split("\n"),
    })),
  };
}
