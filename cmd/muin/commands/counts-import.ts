import { type Command, Option } from "commander";
import { CountImportService } from "../../../internal/gen/muin/count/v1/count_import_service_pb.ts";
import { CountManagementService } from "../../../internal/gen/muin/count/v1/count_management_service_pb.ts";
import type { Cli } from "../cli.ts";
import { connect } from "../remote/connection.ts";
import type { ExitName } from "../terminal/exit-codes.ts";
import { Failure, toFailure } from "../terminal/failure.ts";
import { accessLogFields } from "../import/access-log.ts";
import { isPrefix, prefixRule } from "../import/count-id.ts";
import { type Format, formats } from "../import/format.ts";
import { createProgress, grouped } from "../import/progress.ts";
import { type ImportResult, runImport } from "../import/run-import.ts";
import { createServerTarget } from "../import/server-target.ts";
import { openSource, openStream } from "../import/source.ts";
import { dryRunTarget, type ImportTarget } from "../import/target.ts";
import { examples, remote, type RemoteOptions, several } from "../terminal/options.ts";

interface ImportCommandOptions extends RemoteOptions {
  readonly by: readonly string[];
  readonly format?: Format;
  readonly header: boolean;
  readonly prefix: string;
  readonly dryRun?: boolean;
  readonly final?: boolean;
  readonly restart?: boolean;
  readonly importId?: string;
}

/** How long a call is repeated while Muin is away, in milliseconds: a restart of Muin does not end an import. */
const boundMs = 60_000;

/** Failures after which the same command can go on by itself. */
const passing: ReadonlySet<ExitName> = new Set(["unreachable", "overloaded", "unknownOutcome"]);

/** Counts shown after an import, those with most lines first. */
const countsShownMax = 20;

/** Registers `counts import`. */
export function registerCountsImport(counts: Command, cli: Cli): void {
  const command = remote(counts.command("import <file>"))
    .description("count the lines of a log or a table, each once, however often it is run")
    .requiredOption(
      "--by <field>",
      "what to count by: field, column number from 1, or JSON path; again for combinations",
      several,
    )
    .addOption(new Option("--format <format>", "format (default: told by the content)").choices(formats))
    .option("--no-header", "the table's first line is data, not column names")
    .option("--prefix <text>", "put before each count_id", "")
    .option("--dry-run", "show what would be counted, ask and change nothing")
    .option("--final", "count a last line that has no end")
    .option("--restart", "count the whole file once more")
    .option("--import-id <id>", "name of the import; standard input needs one")
    .action((file: string, options: ImportCommandOptions) => importFile(cli, file, options));
  command.addHelpText(
    "after",
    `
The file is an access log (common or combined format, with the fields ${accessLogFields.join(", ")}),
JSON lines, CSV or TSV, plain or gzip; - is standard input. The count_id is the prefix and the value, made
valid: TX becomes tx, with the value as the Count's name. Values that meet in one id get a short hash behind
it, all but the first. Several --by count each combination of values: GET and 200 become get.200.

Interrupt it at any moment and run the same command again: it goes on where it was and counts no line twice.
When the file has grown, the new lines are counted. A last line without an end counts at the end of a gzip
file, or with --final. Bad lines are counted and shown, and never stop it. Standard input must bring the same
bytes again from its beginning when an import goes on.`,
  );
  examples(
    command,
    "muin counts import access.log.gz --by status --prefix status.",
    "muin counts import sales.csv --by country --by product --dry-run",
    "muin counts import events.jsonl --by user.plan --format json",
    "cat access.log | muin counts import - --by method --import-id web-1-access",
  );
}

async function importFile(cli: Cli, file: string, options: ImportCommandOptions): Promise<void> {
  const { output, clock } = cli;
  if (!isPrefix(options.prefix)) throw new Failure("usage", `the prefix "${options.prefix}" must ${prefixRule}`);
  if (options.importId !== undefined && !/^[a-zA-Z0-9._-]{1,64}$/.test(options.importId)) {
    throw new Failure("usage", "the import id must be 1 to 64 characters of a-z A-Z 0-9 . _ -");
  }
  const source = await (file === "-" ? openStream("standard input", cli.stdin) : openSource(file));
  if (source.bytesTotal === undefined && options.importId === undefined && options.dryRun !== true) {
    throw new Failure("usage", `${source.name} can be read only once: name the import with --import-id`);
  }
  if (source.head.length === 0 && source.headIsAll) {
    if (options.json !== true) output.print(`${source.name} is empty: nothing to count`);
    else
      output.json({
        file,
        dry_run: options.dryRun === true,
        end: "finished",
        lines: 0,
        counted: 0,
        bad_lines: 0,
        counts: {},
      });
    return;
  }
  const signal = cli.signal();
  const progress = createProgress(output, clock, source);
  const target = options.dryRun === true ? dryRunTarget : await serverTarget(cli, options, signal);
  const start = clock.monotonic();
  const result = await runImport(
    {
      format: options.format,
      by: options.by,
      prefix: options.prefix,
      header: options.header,
      final: options.final === true,
      importId: options.importId ?? "",
      restart: options.restart === true,
    },
    {
      source,
      target,
      clock,
      signal,
      onStart: ({ format, offset, importId }, detected) => {
        if (detected) output.note(`format: ${format === "access" ? "access log" : format}, told by the content`);
        if (offset > 0) output.note(`going on at byte ${grouped(offset)} of import ${importId}`);
      },
      onBatch: (now) => progress.update(now),
    },
  ).catch((error: unknown) => {
    progress.end();
    if (options.dryRun === true) throw error;
    const failure = toFailure(error);
    if (!passing.has(failure.exit)) throw failure;
    throw new Failure(failure.exit, `${failure.message}; run the same command again to go on`, { cause: error });
  });
  progress.end();
  const seconds = (clock.monotonic() - start) / 1000;
  if (options.json === true) output.json(summary(file, options, result, seconds));
  else report(cli, options, result, seconds);
  if (result.end === "interrupted") {
    throw new Failure("interrupted", `interrupted at byte ${result.offset}; run the same command again to go on`);
  }
  if (result.refused.length > 0) {
    const refused = result.refused.map(({ countId, lines, reason }) => `${countId} refused ${lines} (${reason})`);
    throw new Failure("conflict", `some lines were not counted: ${refused.join(", ")}`);
  }
  if (typeof result.end === "object") throw new Failure("failed", `${result.end.broken}; what came before is counted`);
}

async function serverTarget(cli: Cli, options: RemoteOptions, signal: AbortSignal): Promise<ImportTarget> {
  const { client, url } = await connect(options, cli.env);
  let told = false;
  return createServerTarget(client(CountImportService), client(CountManagementService), {
    ...cli,
    signal,
    boundMs,
    patient: false,
    onPause: () => {
      if (!told) cli.output.note(`waiting for the Muin at ${url}`);
      told = true;
    },
  });
}

function summary(file: string, options: ImportCommandOptions, result: ImportResult, seconds: number): unknown {
  return {
    file,
    import_id: result.importId,
    dry_run: options.dryRun === true,
    format: result.format,
    end: typeof result.end === "string" ? result.end : "broken",
    offset_start: result.offsetStart,
    offset: result.offset,
    lines: result.lines,
    counted: result.counted,
    bad_lines: result.badCount,
    bad: result.bad,
    refused: result.refused.map(({ countId, lines, reason }) => ({ count_id: countId, lines, reason })),
    counts: Object.fromEntries(result.writes),
    seconds: Number(seconds.toFixed(3)),
  };
}

function report({ output }: Cli, options: ImportCommandOptions, result: ImportResult, seconds: number): void {
  const { writes, bad, badCount, counted, lines } = result;
  if (lines === 0) {
    output.print(result.offsetStart > 0 ? "nothing new: all lines were counted before" : "nothing to count yet");
  } else {
    const rate = seconds > 0 ? `, ${grouped(Math.round(lines / seconds))} lines a second` : "";
    const verb = options.dryRun === true ? "would count" : "counted";
    output.print(
      `${verb} ${grouped(counted)} of ${grouped(lines)} lines into ${grouped(writes.size)} ${writes.size === 1 ? "Count" : "Counts"} in ${seconds.toFixed(1)} s${rate}`,
    );
  }
  if (result.end === "unterminated") output.print("the last line has no end yet and waits; --final counts it");
  if (badCount > 0) {
    output.print(`${grouped(badCount)} bad ${badCount === 1 ? "line" : "lines"}:`);
    for (const { line, why, text } of bad)
      output.print(`  line ${line}: ${why}${text === "" ? "" : `: ${JSON.stringify(text)}`}`);
    if (badCount > bad.length) output.print(`  and ${grouped(badCount - bad.length)} more`);
  }
  if (writes.size === 0) return;
  const rows = [...writes].toSorted(([a, x], [b, y]) => y - x || (a < b ? -1 : 1)).slice(0, countsShownMax);
  output.table(
    [options.dryRun === true ? "LINES" : "ADDED", "COUNT"],
    rows.map(([countId, delta]) => [String(delta), countId]),
  );
  if (writes.size > rows.length) output.print(`and ${grouped(writes.size - rows.length)} more`);
}
