import { catalog } from "../../../internal/catalog.ts";
import { processConfig, type ProcessConfig } from "../../../internal/platform/catalog/process-config.ts";
import { runUntilSignal } from "../../../internal/platform/lifecycle/run-until-signal.ts";
import { createStandalone, type Standalone } from "../../../internal/platform/runtime/standalone.ts";
import { version } from "../../../internal/platform/config/version.ts";
import { ConfigError, readConfig } from "../../../internal/platform/config/read-config.ts";
import { defaultDataPath } from "../../../internal/platform/local/data-folder.ts";
import { PortTakenError } from "../../../internal/platform/rpc/server/port-taken-error.ts";
import { createLogger } from "../../../internal/platform/telemetry/create-logger.ts";
import type { Cli } from "../cli.ts";
import { Failure } from "../terminal/failure.ts";
import { localCommand, type Given } from "../terminal/command.ts";
import { wholeNumber } from "../terminal/values.ts";

const parsePort = wholeNumber(0, 65_535);

const upOptions = {
  dataDir: { value: "folder", help: "where data lies (MUIN_DATA_DIR)" },
  host: { value: "address", help: "address to listen on (MUIN_HOST; default 127.0.0.1)" },
  httpPort: {
    value: "port",
    help: "port of Connect, gRPC-Web, REST and pages; 0 takes any free one (MUIN_HTTP_PORT; 8080)",
    parse: parsePort,
  },
  grpcPort: {
    value: "port",
    help: "port of native gRPC; 0 takes any free one (MUIN_GRPC_PORT; 9090)",
    parse: parsePort,
  },
  operatorPort: {
    value: "port",
    help: "port of the status page and metrics; 0 takes any free one (MUIN_OPERATOR_PORT; 9091)",
    parse: parsePort,
  },
  tls: { help: "make a certificate for this machine, kept and renewed in the data folder, and serve with TLS" },
  user: { value: "name", help: "user that a Muin which root starts goes on as; root stays (MUIN_USER; muin)" },
  behindProxy: {
    help: "say that a proxy speaks TLS and passes calls of others on: then people are invited (MUIN_BEHIND_PROXY=1)",
  },
  insecure: { help: "say that passwords and keys may cross the network in plain text (MUIN_INSECURE=1)" },
  json: { help: "print the table as one JSON object on one line" },
} as const;

/** `muin up`. */
export const up = localCommand({
  name: "up",
  description: "run all of Muin on this machine, on PostgreSQL and Redis servers of its own, until interrupted",
  options: upOptions,
  examples: [
    "muin up",
    "muin up --tls --host 0.0.0.0",
    "muin up --data-dir ./data --http-port 0 --grpc-port 0 --operator-port 0 --json",
  ],
  run: async (given, cli) => {
    const code = await runUp(given, cli).catch((error: unknown) => {
      throw error instanceof ConfigError ? new Failure("misconfigured", error.problems.join("\n")) : error;
    });
    if (code === 0) return;
    cli.output.note("muin: Muin did not stop cleanly: the log says what was left");
    process.exit(code); // What is left would keep the process alive.
  },
});

async function runUp(options: Given<unknown, typeof upOptions>, cli: Cli): Promise<number> {
  const { env, output, clock, random } = cli;
  const read = readConfig("", processConfig, env);
  const settings: ProcessConfig = {
    ...read,
    host: options.host ?? read.host,
    httpPort: options.httpPort ?? read.httpPort,
    grpcPort: options.grpcPort ?? read.grpcPort,
    operatorPort: options.operatorPort ?? read.operatorPort,
    behindProxy: options.behindProxy ?? read.behindProxy,
    user: options.user ?? read.user,
    insecure: options.insecure ?? read.insecure,
    // On a terminal, routine lines would bury the table.
    logLevel: output.terminal && env["MUIN_LOG_LEVEL"] === undefined ? "warn" : read.logLevel,
  };
  const log = createLogger({ level: settings.logLevel, service: "muin", destination: "stderr" });
  const muin = createStandalone({
    catalog,
    dataDir: options.dataDir ?? env["MUIN_DATA_DIR"] ?? defaultDataPath(env),
    settings,
    makesCertificate: options.tls === true,
    env,
    report: (line) => output.note(line),
    clock,
    random,
    log,
  });
  try {
    return await runUntilSignal(muin, {
      log,
      onStarted: () => print(muin, options.json === true, cli),
    });
  } catch (error) {
    if (!(error instanceof PortTakenError)) throw error;
    throw new Failure(
      "failed",
      `${error.message}; end that program, or choose another port with --${error.which}-port (0 takes any free one)`,
    );
  }
}

/** Shows where Muin serves and what its services have to show, and what to try next; secrets to a terminal or a program alone. */
async function print(muin: Standalone, asJson: boolean, { env, output }: Cli): Promise<void> {
  const { http, grpc, operator } = muin.addresses();
  const { path } = muin.folder;
  const { caFile } = muin;
  const { user, staysRootBecause } = muin.runsAs();
  const shown = muin.firstSteps();
  if (asJson) {
    const ca = caFile === undefined ? {} : { ca_file: caFile };
    output.json({
      http,
      grpc,
      operator,
      ...ca,
      data_dir: path,
      user,
      ...Object.assign({}, ...shown.map(({ json }) => json)),
    });
    return;
  }
  const row = (name: string, value: string): void => output.print(`  ${output.paint("dim", name.padEnd(9))}${value}`);
  output.print(output.paint("bold", `Muin ${version} is ready.`));
  output.print("");
  row("HTTP", `${http}  Connect, gRPC-Web, REST`);
  row("gRPC", `${grpc}  with health and reflection`);
  row("operator", `${operator}  status page, /metrics`);
  if (caFile !== undefined) row("CA", `${caFile}  for callers to trust`);
  row("data", path);
  row("user", staysRootBecause === undefined ? user : `root: ${staysRootBecause}`);
  for (const { title, text, textForLog = text } of shown) row(title, output.printsToTerminal ? text : textForLog);
  output.print("");
  output.print("Try in another terminal:");
  const elsewhere = path === defaultDataPath(env) ? "" : ` --data-dir ${path}`;
  // A binary may be far from any checkout: it is called again as it was called.
  const program = import.meta.dir.startsWith("/$bunfs/") ? process.argv0 : "npm run muin --";
  output.print(`  ${program} counts create visits${elsewhere}`);
  output.print(`  ${program} counts inc visits${elsewhere}`);
  output.print(`  ${program} door${elsewhere}`);
  const key = (await muin.folder.readCredentials())?.["api_key"];
  const bearer = key !== undefined && output.printsToTerminal ? key : "<API key>";
  const trust = caFile === undefined ? "" : ` --cacert ${caFile}`;
  output.print(`  curl${trust} -H 'Authorization: Bearer ${bearer}' ${http}/api/v1/counts/visits`);
  output.print("");
  output.print("Ctrl-C stops it.");
}
