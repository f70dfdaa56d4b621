import type { Command } from "commander";
import type { ServiceInfo } from "../../../internal/platform/app/define-service.ts";
import { platformConfig } from "../../../internal/platform/app/platform-config.ts";
import { meshConfig } from "../../../internal/platform/app/run-service.ts";
import { type ConfigFields, text } from "../../../internal/platform/config/fields.ts";
import {
  describeConfig,
  type DescribedSetting,
  type Environment,
  findUnknown,
} from "../../../internal/platform/config/read-config.ts";
import type { Cli } from "../cli.ts";
import { cliConfig } from "../cli-config.ts";
import { Failure } from "../failure.ts";
import { examples } from "../options.ts";

/** Settings that belong together, with their present values. */
interface Group {
  readonly title: string;
  /** Needed only where a service runs in a process of its own: what is missing there is no fault here. */
  readonly mesh: boolean;
  readonly settings: readonly DescribedSetting[];
}

/** Registers `config` and `config verify`. */
export function registerConfig(program: Command, cli: Cli): void {
  const config = program
    .command("config")
    .description("print every setting with its value, where that comes from, and what it means")
    .option("--json", "print for a program: one JSON line for each setting")
    .action(async (options: { readonly json?: boolean }) => {
      for (const { title, settings } of await readGroups(cli.env)) {
        if (options.json !== true) cli.output.print(cli.output.paint("bold", title));
        for (const setting of settings) {
          if (options.json === true) cli.output.json({ group: title, ...setting });
          else printSetting(cli, setting);
        }
        if (options.json !== true) cli.output.print("");
      }
    });
  examples(config, "muin config", "MUIN_HTTP_PORT=9000 muin config --json");

  const verify = config
    .command("verify")
    .description("check the settings that are given; exits with 1 when one cannot be used")
    .action(async () => {
      const groups = await readGroups(cli.env);
      const known = groups.flatMap(({ settings }) => settings.map(({ variable }) => variable));
      const problems = groups.flatMap(({ settings, mesh }) =>
        settings.flatMap(({ problem, source }) =>
          problem === undefined || (mesh && source === "default") ? [] : [problem],
        ),
      );
      for (const problem of new Set(problems)) cli.output.print(problem);
      const unknown = findUnknown(known, cli.env);
      for (const { variable, nearest } of unknown) {
        cli.output.print(`${variable} is not known${nearest === undefined ? "" : `; is ${nearest} meant?`}`);
      }
      const count = new Set(problems).size + unknown.length;
      if (count > 0) throw new Failure("failed", `${count} ${count === 1 ? "setting" : "settings"} cannot be used`);
      cli.output.print("all settings can be used");
    });
  examples(verify, "muin config verify");
}

async function readGroups(env: Environment): Promise<readonly Group[]> {
  // Loaded when asked for: most commands need no service.
  const { catalog } = await import("../../../internal/catalog.ts");
  const group = (title: string, prefix: string, fields: ConfigFields, mesh = false): Group => ({
    title,
    mesh,
    settings: describeConfig(prefix, fields, env),
  });
  return [
    group("every process", "", platformConfig),
    group("muin up and the command line", "", cliConfig),
    ...catalog.map((info) => group(info.name, info.name, info.config)),
    group(
      "a service in a process of its own",
      "",
      { ...meshConfig, ...storeFields(catalog), ...callFields(catalog) },
      true,
    ),
  ].filter(({ settings }) => settings.length > 0);
}

function printSetting({ output }: Cli, { variable, value, source, problem, accepts, doc }: DescribedSetting): void {
  const shown = value === undefined || value === "" ? output.paint("dim", "not given") : value;
  const origin = source === "default" ? "" : ` from ${source}`;
  output.print(`  ${variable} = ${shown}${output.paint("dim", origin)}`);
  output.print(`      ${doc} (${accepts})`);
  if (problem !== undefined && source !== "default") output.print(`      ${output.paint("red", problem)}`);
}

/** Where a service of its own finds its stores: each declared name once. */
function storeFields(catalog: readonly ServiceInfo[]): ConfigFields {
  const fields = catalog.flatMap((info) =>
    Object.entries(info.stores).flatMap(([name, { kind }]) => {
      const url = `STORE_${name.toUpperCase()}_URL`;
      const field = text(url, { doc: `Store ${name} (${kind}), for services that declare it.` });
      if (kind === "redis") return [[url, field] as const];
      const schemaUrl = `STORE_${name.toUpperCase()}_SCHEMA_URL`;
      return [
        [url, field] as const,
        [
          schemaUrl,
          text(schemaUrl, { doc: `Store ${name} as its schema role, for migrations. Default: as above.` }),
        ] as const,
      ];
    }),
  );
  return Object.fromEntries(fields);
}

/** Where a service of its own finds the RPC services that it calls, if not at the router. */
function callFields(catalog: readonly ServiceInfo[]): ConfigFields {
  const fields = catalog.flatMap((info) =>
    Object.values(info.calls).map(({ name }) => {
      const variable = `CALL_${name
        .replace(/Service$/, "")
        .replaceAll(/(?<=[a-z])(?=[A-Z])/g, "_")
        .toUpperCase()}_URL`;
      return [variable, text(variable, { doc: `Address of ${name}, if not the router.` })] as const;
    }),
  );
  return Object.fromEntries(fields);
}
