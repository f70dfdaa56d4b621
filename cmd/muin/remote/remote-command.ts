import type { Cli } from "../cli.ts";
import {
  localCommand,
  type Arguments,
  type CommandSpec,
  type Given,
  type Options,
  type Registration,
} from "../terminal/command.ts";
import { Failure } from "../terminal/failure.ts";
import type { Output } from "../terminal/output.ts";
import { wholeNumber } from "../terminal/values.ts";
import { createConnection, type Connection } from "./connection.ts";
import { createRepeat, type Repeat } from "./repeat.ts";

/** What a command that talks to a running Muin uses. Muin is looked for at the first call. */
export interface Remote extends Connection, Pick<Cli, "clock" | "random" | "stdin" | "output"> {
  readonly repeat: Repeat;
  /** Aborted when the command is interrupted. */
  readonly signal: AbortSignal;
}

const remoteOptions = {
  url: { value: "url", help: "Muin's HTTP address (MUIN_URL; default: the Muin on the local data folder)" },
  dataDir: { value: "folder", help: "data folder of a local Muin (MUIN_DATA_DIR)" },
  json: { help: "print for a program: JSON, one document or one line for each entry" },
} as const satisfies Options;

function limitOption(limitDefault: number | undefined): Options {
  const limit = { value: "number", help: "at most so many", parse: wholeNumber(1, 1_000_000) };
  return { limit: limitDefault === undefined ? limit : { ...limit, default: limitDefault } };
}

type RemoteGiven<A, O> = Given<A, O & typeof remoteOptions>;

/** A command that makes a call and shows what it answers. */
interface CallSpec<A, O, R> extends CommandSpec<A, O> {
  /** Resolves with what is shown; `undefined`, a part that every Muin answers with, is a failure. */
  call(given: RemoteGiven<A, O>, muin: Remote): Promise<R | undefined>;
  /** What `--json` prints, as one document. */
  readonly json: (result: R, given: RemoteGiven<A, O>) => unknown;
  /** Prints it for people. */
  readonly print: (result: R, output: Output, given: RemoteGiven<A, O>) => void;
}

/** A page that is asked for. */
export interface Page {
  readonly pageSize: number;
  readonly pageToken: string;
}

/** A command that lists entries, page by page, up to a `--limit`. */
interface ListSpec<A, O, E> extends CommandSpec<A, O> {
  read(
    given: RemoteGiven<A, O>,
    muin: Remote,
    page: Page,
  ): Promise<{ readonly entries: readonly E[]; /** Empty on the last page. */ readonly nextPageToken: string }>;
  /** What `--json` prints of an entry, on one line. */
  readonly json: (entry: E, given: RemoteGiven<A, O>) => unknown;
  /** The cells of an entry by the headers of their columns. */
  readonly columns: Readonly<Record<string, (entry: E) => string>>;
  /** Said when there are no entries. */
  readonly none: string;
  /** Entries listed unless `--limit` says otherwise. Default: all. */
  readonly limitDefault?: number;
}

/** A command that prints by itself. */
interface RunSpec<A, O> extends CommandSpec<A, O> {
  run(given: RemoteGiven<A, O>, muin: Remote): Promise<void>;
}

/** Entries asked for at once. */
const pageSizeMax = 500;

/**
 * A command that talks to a running Muin: it has the options by which Muin is found and `--json`, ends at the first Ctrl-C, and exits
 * with the code of what Muin answered. It says how to `call` and show one result, or how to `read` the entries of a list, or does all
 * of it by `run`.
 */
export function remoteCommand<const A extends Arguments = {}, const O extends Options = {}, R = never>(
  spec: CallSpec<A, O, R> | ListSpec<A, O, R> | RunSpec<A, O>,
): Registration {
  const run =
    "call" in spec
      ? (given: RemoteGiven<A, O>, muin: Remote) => showResult(spec, given, muin)
      : "read" in spec
        ? (given: RemoteGiven<A, O>, muin: Remote) => showList(spec, given, muin)
        : (given: RemoteGiven<A, O>, muin: Remote) => spec.run(given, muin);
  const options = { ...spec.options, ...("read" in spec ? limitOption(spec.limitDefault) : {}), ...remoteOptions };
  return localCommand<A, Options>({
    ...spec,
    options,
    run: (given, cli) => run(given as RemoteGiven<A, O>, createRemote(given as Given<A, typeof remoteOptions>, cli)),
  });
}

function createRemote(given: Given<{}, typeof remoteOptions>, cli: Cli): Remote {
  const { clock, random, stdin, output } = cli;
  const signal = cli.signal();
  const connection = createConnection(given, cli, signal);
  return { ...connection, repeat: createRepeat({ clock, random, signal }), signal, clock, random, stdin, output };
}

async function showResult<A, O, R>(spec: CallSpec<A, O, R>, given: RemoteGiven<A, O>, muin: Remote): Promise<void> {
  const result = await spec.call(given, muin);
  if (result === undefined) throw new Failure("failed", "Muin answered without what was asked for");
  if (isJson(given)) muin.output.json(spec.json(result, given));
  else spec.print(result, muin.output, given);
}

async function showList<A, O, E>(spec: ListSpec<A, O, E>, given: RemoteGiven<A, O>, muin: Remote): Promise<void> {
  const { output } = muin;
  const { limit = Infinity } = given as { readonly limit?: number };
  const rows: string[][] = [];
  let shown = 0;
  let hasMore = false;
  let pageToken = "";
  do {
    const left = limit - shown;
    const page = await spec.read(given, muin, { pageSize: Math.min(pageSizeMax, left), pageToken });
    for (const entry of page.entries.slice(0, left)) {
      shown++;
      if (isJson(given)) output.json(spec.json(entry, given));
      else rows.push(Object.values(spec.columns).map((cell) => cell(entry)));
    }
    pageToken = page.nextPageToken;
    hasMore = pageToken !== "" || page.entries.length > left;
  } while (pageToken !== "" && shown < limit);
  if (rows.length > 0) output.table(Object.keys(spec.columns), rows);
  if (hasMore) output.note(`there are more than these ${shown}`);
  else if (shown === 0 && !isJson(given)) output.note(spec.none);
}

function isJson(given: unknown): boolean {
  return (given as Given<{}, typeof remoteOptions>).json === true;
}
