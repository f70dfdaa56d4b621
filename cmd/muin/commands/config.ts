import { topology } from "../../../internal/platform/catalog/topology.ts";
import { processConfig } from "../../../internal/platform/catalog/process-config.ts";
import {
  callFields,
  holderFields,
  meshConfig,
  schemaFields,
  storeFields,
} from "../../../internal/platform/catalog/mesh-config.ts";
import type { ConfigFields } from "../../../internal/platform/config/fields.ts";
import { describeConfig, type DescribedSetting, findUnknown } from "../../../internal/platform/config/read-config.ts";
import type { Cli } from "../cli.ts";
import { cliConfig } from "../remote/cli-config.ts";
import { stores } from "./config-stores.ts";
import { Failure } from "../terminal/failure.ts";
import { readableAmount } from "../terminal/readable-amount.ts";
import { localCommand } from "../terminal/command.ts";
import type { Output } from "../terminal/output.ts";

/** Settings that belong together, with their present values. */
interface Section {
  readonly title: string;
  /** Services whose process needs them given where they have no default; `muin up` finds all of them by itself. */
  readonly neededBy: ReadonlySet<string>;
  readonly settings: readonly DescribedSetting[];
}

/** `muin config verify`. */
const verify = localCommand({
  name: "verify",
  description: "check the settings that are given; exits with 1 when one cannot be used",
  options: {
    service: { value: "name", help: "check too that all is given that a process of this service alone needs" },
  },
  examples: ["muin config verify", "muin config verify --service count-write"],
  run: async ({ service }, cli) => {
    const sections = await readSections(cli);
    const known = sections.flatMap(({ settings }) => settings.map(({ variable }) => variable));
    const problems = sections.flatMap(({ settings, neededBy }) =>
      settings.flatMap(({ problem, source }) => {
        const needed = source !== "default" || (service !== undefined && neededBy.has(service));
        return problem === undefined || !needed ? [] : [problem];
      }),
    );
    for (const problem of new Set(problems)) cli.output.print(problem);
    const unknown = findUnknown(known, cli.env);
    for (const { variable, nearest } of unknown) {
      cli.output.print(`${variable} is not known${nearest === undefined ? "" : `; is ${nearest} meant?`}`);
    }
    const count = new Set(problems).size + unknown.length;
    if (count > 0) throw new Failure("failed", `${count} ${count === 1 ? "setting" : "settings"} cannot be used`);
    cli.output.print("all settings can be used");
  },
});

/** `muin config`. */
export const config = localCommand({
  name: "config",
  description: "print every setting with its value, where that comes from, and what it means",
  options: { json: { help: "print for a program: one JSON line for each setting" } },
  examples: ["muin config", "MUIN_HTTP_PORT=9000 muin config --json"],
  commands: [verify, stores],
  run: async ({ json }, cli) => {
    const { output } = cli;
    for (const { title, settings } of await readSections(cli)) {
      if (json !== true) output.print(output.paint("bold", title));
      for (const setting of settings) {
        if (json === true) output.json({ group: title, ...setting });
        else printSetting(setting, output);
      }
      if (json !== true) output.print("");
    }
  },
});

async function readSections({ env }: Cli): Promise<readonly Section[]> {
  // Loaded when asked for: most commands need no service.
  const { catalog } = await import("../../../internal/catalog.ts");
  const plan = topology(catalog);
  const section = (title: string, prefix: string, fields: ConfigFields, neededBy: readonly string[] = []): Section => ({
    title,
    neededBy: new Set(neededBy),
    settings: describeConfig(prefix, fields, env),
  });
  return [
    section("every process", "", processConfig),
    section("the command line", "", cliConfig),
    ...catalog.map((info) => section(`muin up, to set up ${info.name}`, info.name, info.setup ?? {})),
    ...catalog.map((info) => section(info.name, info.name, info.config, [info.name])),
    section(
      "a process of one service",
      "",
      meshConfig,
      catalog.map(({ name }) => name),
    ),
    ...plan.services.flatMap((service) => [
      section(`stores of a process of ${service.name}`, "", storeFields(service), [service.name]),
      section(`schema roles of a process of ${service.name}`, "", schemaFields(service), [service.name]),
      section(`calls of a process of ${service.name}`, "", { ...callFields(service), ...holderFields(service, plan) }, [
        service.name,
      ]),
    ]),
  ].filter(({ settings }) => settings.length > 0);
}

function printSetting({ variable, value, source, problem, accepts, doc }: DescribedSetting, output: Output): void {
  const absent = value === undefined || value === "" || (source === "default" && value === "[redacted]");
  const origin = source === "default" ? "by default" : `from ${source}`;
  const readable = value === undefined ? undefined : readableAmount(variable, value);
  const note = readable === undefined ? origin : `${origin} (${readable})`;
  const shown = absent ? output.paint("dim", "is not given") : `= ${value} ${output.paint("dim", note)}`;
  output.print(`  ${variable} ${shown}`);
  output.print(`      ${doc} (${accepts})`);
  if (problem !== undefined && source !== "default") output.print(`      ${output.paint("red", problem)}`);
}
