import { CountImportService } from "../../../../internal/gen/muin/count/v1/count_import_service_pb.ts";
import { CountManagementService } from "../../../../internal/gen/muin/count/v1/count_management_service_pb.ts";
import { accessLogFields } from "../../import/access-log.ts";
import { isPrefix, prefixRule } from "../../import/count-id.ts";
import { type Format, formats } from "../../import/format.ts";
import { createProgress, grouped } from "../../import/progress.ts";
import { printReport, reportAsJson } from "../../import/report.ts";
import { type ImportResult, runImport } from "../../import/run-import.ts";
import { createServerTarget } from "../../import/server-target.ts";
import { openSource, openStream, type Source } from "../../import/source.ts";
import { createDryRunTarget, type ImportTarget } from "../../import/target.ts";
import { type Remote, remoteCommand } from "../../remote/remote-command.ts";
import type { ExitName } from "../../terminal/exit-codes.ts";
import { Failure, toFailure } from "../../terminal/failure.ts";
import type { Output } from "../../terminal/output.ts";

/** How long a call is repeated while Muin is away, in milliseconds: a restart of Muin does not end an import. */
const withinMs = 60_000;

/** Failures after which the same command can go on by itself. */
const passing: ReadonlySet<ExitName> = new Set(["unreachable", "overloaded", "unknownOutcome", "interrupted"]);

interface ImportGiven {
  readonly file: string;
  readonly by: readonly string[];
  readonly format: Format | undefined;
  readonly header: boolean;
  readonly prefix: string;
  readonly dryRun: boolean | undefined;
  readonly final: boolean | undefined;
  readonly restart: boolean | undefined;
  readonly importId: string | undefined;
  readonly json: boolean | undefined;
}

const details = `The file is an access log (common or combined format, with the fields ${accessLogFields.join(", ")};
vhost_combined has vhost and port as well), JSON lines, CSV or TSV, plain or gzip; - is standard input. The columns
of a CSV are separated by commas or semicolons, as its first line shows; a first line sep=; says so. The count_id
is the prefix and the value, made valid: TX becomes tx, with the value as the Count's name. Where there is a Count of
that id with another name, a short hash goes behind it; a Count without a name is given the value's. Several --by
count each combination of values: GET and 200 become get.200.

Interrupt it at any moment and run the same command again: it goes on where it was and counts no line twice.
When the file has grown, the new lines are counted. A last line without an end counts at the end of a gzip
file, or with --final. Bad lines are counted and shown, and never stop it. A damaged gzip file is not counted.
Standard input must bring the same bytes again from its beginning when an import goes on.`;

/** `muin counts import`. */
export const importFile = remoteCommand({
  name: "import",
  description: "count the lines of a log or a table, each once, however often it is run",
  arguments: { file: { help: "the file; - for standard input" } },
  options: {
    by: {
      value: "field",
      help: "what to count by: field, column number from 1, or JSON path; again for combinations",
      many: true,
      required: true,
    },
    format: { value: "format", help: "format (default: told by the content)", choices: formats },
    header: { help: "the table's first line is data, not column names", default: true },
    prefix: { value: "text", help: "put before each count_id", default: "" },
    dryRun: { help: "show what would be counted, ask and change nothing" },
    final: { help: "count a last line that has no end" },
    restart: { help: "count the whole file once more" },
    importId: { value: "id", help: "name of the import; standard input needs one" },
  },
  details,
  examples: [
    "muin counts import access.log.gz --by status --prefix status.",
    "muin counts import sales.csv --by country --by product --dry-run",
    "muin counts import events.jsonl --by user.plan --format json",
    "cat access.log | muin counts import - --by method --import-id web-1-access",
  ],
  run: async (given, muin) => {
    const { output } = muin;
    const source = await openGiven(given, muin);
    if (source.head.length === 0 && source.headIsAll) {
      warn(source.warnings(), output);
      if (given.json !== true) output.print(`${source.name} is empty: nothing to count`);
      else output.json(nothingCounted(given));
      return;
    }
    const start = muin.clock.monotonic();
    const result = await runGiven(given, source, muin);
    const seconds = (muin.clock.monotonic() - start) / 1000;
    const report = { file: given.file, dryRun: given.dryRun === true, result, seconds };
    if (given.json === true) output.json(reportAsJson(report));
    else printReport(report, output);
    warn(result.warnings, output);
    failUnlessCounted(result);
  },
});

/** Opens what is to be counted; throws a usage failure when the options do not fit it. */
async function openGiven({ file, prefix, importId, dryRun }: ImportGiven, { stdin }: Remote): Promise<Source> {
  if (!isPrefix(prefix)) throw new Failure("usage", `the prefix "${prefix}" must ${prefixRule}`);
  if (importId !== undefined && !/^[a-zA-Z0-9._-]{1,64}$/.test(importId)) {
    throw new Failure("usage", "the import id must be 1 to 64 characters of a-z A-Z 0-9 . _ -");
  }
  const source = await (file === "-" ? openStream("standard input", stdin) : openSource(file));
  if (source.bytesTotal === undefined && importId === undefined && dryRun !== true) {
    throw new Failure("usage", `${source.name} can be read only once: name the import with --import-id`);
  }
  return source;
}

function warn(warnings: readonly string[], output: Output): void {
  for (const warning of warnings) output.note(`warning: ${warning}`);
}

function nothingCounted({ file, dryRun }: ImportGiven): unknown {
  return {
    file,
    dry_run: dryRun === true,
    end: "finished",
    lines: 0,
    counted: 0,
    bad_lines: 0,
    counts: {},
    warnings: [],
  };
}

async function runGiven(given: ImportGiven, source: Source, muin: Remote): Promise<ImportResult> {
  const { output, clock, signal } = muin;
  const { format, by, prefix, header } = given;
  const isDryRun = given.dryRun === true;
  const progress = createProgress(output, clock, source);
  try {
    return await runImport(
      {
        format,
        by,
        prefix,
        header,
        final: given.final === true,
        importId: given.importId ?? "",
        restart: given.restart === true,
      },
      {
        source,
        target: isDryRun ? createDryRunTarget() : await serverTarget(muin),
        clock,
        signal,
        onStart: ({ format: read, offset, importId }, detected) => {
          if (detected) output.note(`format: ${read === "access" ? "access log" : read}, told by the content`);
          if (offset > 0) output.note(`going on at byte ${grouped(offset)} of import ${importId}`);
        },
        onBatch: (now) => progress.update(now),
      },
    );
  } catch (error) {
    progress.end();
    const failure = toFailure(error);
    if (isDryRun || !passing.has(failure.exit)) throw failure;
    throw new Failure(failure.exit, `${failure.message}; run the same command again to go on`, { cause: error });
  } finally {
    progress.end();
  }
}

async function serverTarget({ client, repeat, url, output }: Remote): Promise<ImportTarget> {
  const found = await url();
  // Interrupted, the batch under way is finished.
  const { signal } = new AbortController();
  let told = false;
  return createServerTarget(
    client(CountImportService, signal),
    client(CountManagementService, signal),
    (call, options) =>
      repeat(call, {
        ...options,
        withinMs,
        onPause: () => {
          if (!told) output.note(`waiting for the Muin at ${found}`);
          told = true;
        },
      }),
  );
}

function failUnlessCounted({ end, offset, refused }: ImportResult): void {
  if (end === "interrupted") {
    throw new Failure("interrupted", `interrupted at byte ${offset}; run the same command again to go on`);
  }
  if (refused.length > 0) {
    const each = refused.map(({ countId, lines, reason }) => `${countId} refused ${lines} (${reason})`);
    throw new Failure("conflict", `some lines were not counted: ${each.join(", ")}`);
  }
  if (typeof end === "object") throw new Failure("failed", `${end.broken}; what came before is counted`);
}
