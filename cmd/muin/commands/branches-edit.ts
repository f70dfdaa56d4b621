import {
  clone,
  create,
  fromJson,
  type DescMessage,
  type JsonValue,
  type MessageInitShape,
  type MessageShape,
} from "@bufbuild/protobuf";
import { type Command, InvalidArgumentError } from "commander";
import {
  AddressSchema,
  BranchSchema,
  EntryRulesSchema,
  type Branch,
} from "../../../internal/gen/muin/identity/v1/branch_pb.ts";
import { BranchService } from "../../../internal/gen/muin/identity/v1/branch_service_pb.ts";
import type { Cli } from "../cli.ts";
import { connect } from "../remote/connection.ts";
import { Failure } from "../terminal/failure.ts";
import { readJson } from "../terminal/json-input.ts";
import { examples, remote, type RemoteOptions, several, wholeNumber } from "../terminal/options.ts";
import { plainMessage } from "../remote/plain-message.ts";
import { retry } from "../retry.ts";

interface ContentOptions extends RemoteOptions {
  readonly name?: string;
  readonly owner?: string;
  readonly timeZone?: string;
  readonly country?: string;
  readonly postalCode?: string;
  readonly region?: string;
  readonly locality?: string;
  readonly line?: readonly string[];
  readonly position?: { readonly latitude: number; readonly longitude: number };
  readonly facility?: readonly string[];
  readonly capacity?: number;
  readonly plan?: readonly string[];
  readonly from?: string;
}

interface TargetOptions extends RemoteOptions {
  readonly etag?: string;
}

/** How long a creation is repeated while Muin is away, in milliseconds. */
const boundMs = 10_000;

/** Registers `branches create`, `update`, `close`, `reopen` and `transfer`. */
export function registerBranchesEdit(branches: Command, cli: Cli): void {
  registerCreate(branches, cli);
  registerUpdate(branches, cli);
  registerStates(branches, cli);
  registerTransfer(branches, cli);
}

function withContent(command: Command): Command {
  return remote(command)
    .option("--time-zone <zone>", "IANA time zone, such as Asia/Seoul")
    .option("--country <code>", "country, ISO 3166-1 alpha-2, such as KR")
    .option("--postal-code <code>", "postal code")
    .option("--region <name>", "province, state or metropolitan city")
    .option("--locality <name>", "city or district")
    .option("--line <text>", "street, number, floor; may be given several times", several)
    .option("--position <latitude,longitude>", "where it is, in degrees", positionOf)
    .option("--facility <name>", "what it offers, such as shower; may be given several times", several)
    .option("--plan <name>", "plan that admits; may be given several times", several)
    .option("--capacity <number>", "most people inside; 0 for any number", wholeNumber(0, 1_000_000))
    .option("--from <file>", 'more of it as JSON, as "branches get --json" prints it; "-" for standard input');
}

function registerCreate(branches: Command, cli: Cli): void {
  const command = withContent(branches.command("create <name>"))
    .description("create a branch")
    .option("--owner <user-id>", "whose it is (default: yours)")
    .action(async (name: string, options: ContentOptions) => {
      const branch = await contentOf({ ...options, name }, cli);
      const { client } = await connect(options, cli.env);
      const signal = cli.signal();
      const request = { branch, requestId: cli.random.uuid() };
      const reply = await retry(() => client(BranchService).createBranch(request, { signal }), {
        ...cli,
        signal,
        boundMs,
        patient: false,
      });
      printBranch(cli, options, reply.branch, "created");
    });
  examples(
    command,
    'muin branches create "Gangnam" --owner 0199c5f2-6f0c-7aa0-8d6e-0a4f3a6b1c55 --time-zone Asia/Seoul --country KR --locality Gangnam-gu',
    'muin branches create "Mitte" --time-zone Europe/Berlin --from branch.json',
  );
}

function registerUpdate(branches: Command, cli: Cli): void {
  const command = withContent(branches.command("update <branch-id>"))
    .description("change what is given of a branch")
    .option("--name <text>", "name for people")
    .option("--etag <etag>", "only if it is as it was when it had this etag")
    .action(async (branchId: string, options: ContentOptions & TargetOptions) => {
      const { client } = await connect(options, cli.env);
      const service = client(BranchService);
      const signal = cli.signal();
      const change = await contentOf(options, cli);
      const paths = BranchSchema.fields
        .filter(({ localName }) => Object.hasOwn(change, localName))
        .map(({ name }) => name);
      if (paths.length === 0) throw new Failure("usage", "nothing to change was given; see --help");
      // What stands beside a given part of the address or of the entry rules stays as it is.
      const { branch: present } = await service.getBranch({ branchId }, { signal });
      const branch = {
        ...merged(change, present),
        branchId,
        etag: options.etag ?? present?.etag ?? "",
      };
      const reply = await service.updateBranch({ branch, updateMask: { paths } }, { signal });
      printBranch(cli, options, reply.branch, "updated");
    });
  examples(
    command,
    "muin branches update 0199c5f2-6f0c-7aa0-8d6e-0a4f3a6b1c55 --facility shower --facility parking --capacity 40",
  );
}

function registerStates(branches: Command, cli: Cli): void {
  const registered = [
    ["close", "closed", "give a branch up: its door opens for staff only"],
    ["reopen", "reopened", "run a closed branch again"],
  ] as const;
  for (const [verb, done, description] of registered) {
    const command = remote(branches.command(`${verb} <branch-id>`))
      .description(description)
      .option("--etag <etag>", "only if it is as it was when it had this etag")
      .action(async (branchId: string, options: TargetOptions) => {
        const service = (await connect(options, cli.env)).client(BranchService);
        const request = { branchId, etag: options.etag ?? "" };
        const call = { signal: cli.signal() };
        const reply =
          verb === "close" ? await service.closeBranch(request, call) : await service.reopenBranch(request, call);
        printBranch(cli, options, reply.branch, done);
      });
    examples(command, `muin branches ${verb} 0199c5f2-6f0c-7aa0-8d6e-0a4f3a6b1c55`);
  }
}

function registerTransfer(branches: Command, cli: Cli): void {
  const command = remote(branches.command("transfer <branch-id> <user-id>"))
    .description("give a branch to another owner")
    .option("--etag <etag>", "only if it is as it was when it had this etag")
    .action(async (branchId: string, ownerId: string, options: TargetOptions) => {
      const service = (await connect(options, cli.env)).client(BranchService);
      const request = { branchId, ownerId, etag: options.etag ?? "" };
      const reply = await service.transferBranch(request, { signal: cli.signal() });
      printBranch(cli, options, reply.branch, "transferred");
    });
  examples(command, "muin branches transfer 0199c5f2-6f0c-7aa0-8d6e-0a4f3a6b1c55 0199c5f2-7a11-7bb2-9c01-5e8d2f7a6b33");
}

function printBranch(cli: Cli, options: RemoteOptions, branch: Branch | undefined, done: string): void {
  const shown = branch ?? create(BranchSchema);
  if (options.json === true) cli.output.json(plainMessage(BranchSchema, shown));
  else cli.output.print(`${done} ${shown.branchId}`);
}

type Content = MessageInitShape<typeof BranchSchema>;

/** What the command line says of a branch: only what was given is there. */
async function contentOf(options: ContentOptions, cli: Cli): Promise<Exclude<Content, Branch>> {
  const { name, owner, timeZone, position, facility } = options;
  const address = {
    ...(options.country === undefined ? {} : { countryCode: options.country }),
    ...(options.postalCode === undefined ? {} : { postalCode: options.postalCode }),
    ...(options.region === undefined ? {} : { region: options.region }),
    ...(options.locality === undefined ? {} : { locality: options.locality }),
    ...(options.line === undefined ? {} : { lines: [...options.line] }),
  };
  const entryRules = {
    ...(options.plan === undefined ? {} : { plans: options.plan.map((plan) => ({ plan })) }),
    ...(options.capacity === undefined ? {} : { capacityMax: options.capacity }),
  };
  return {
    ...(options.from === undefined ? {} : fileContentOf(await readJson(options.from, cli), options.from)),
    ...(name === undefined ? {} : { displayName: name }),
    ...(owner === undefined ? {} : { ownerId: owner }),
    ...(timeZone === undefined ? {} : { timeZone }),
    ...(position === undefined ? {} : { position }),
    ...(facility === undefined ? {} : { facilities: [...facility] }),
    ...(Object.keys(address).length === 0 ? {} : { address }),
    ...(Object.keys(entryRules).length === 0 ? {} : { entryRules }),
  };
}

/** Fields of a file that people say of a branch; Muin's own, which a printed branch has as well, are left out. */
function fileContentOf(json: JsonValue, file: string): Exclude<Content, Branch> {
  let branch: Branch;
  try {
    branch = fromJson(BranchSchema, json);
  } catch (error) {
    throw new Failure("usage", `${file} is not a branch: ${error instanceof Error ? error.message : String(error)}`);
  }
  const { displayName, address, position, timeZone, openingHours, facilities, equipment, entryRules } = branch;
  return {
    ...(displayName === "" ? {} : { displayName }),
    ...(address === undefined ? {} : { address }),
    ...(position === undefined ? {} : { position }),
    ...(timeZone === "" ? {} : { timeZone }),
    ...(openingHours === undefined ? {} : { openingHours }),
    ...(facilities.length === 0 ? {} : { facilities }),
    ...(equipment.length === 0 ? {} : { equipment }),
    ...(entryRules === undefined ? {} : { entryRules }),
  };
}

/** A change in which parts of the address and the entry rules that are not given are as at present. */
function merged(change: Exclude<Content, Branch>, present: Branch | undefined): Exclude<Content, Branch> {
  const { address, entryRules } = change;
  return {
    ...change,
    ...(address === undefined ? {} : { address: overlaid(AddressSchema, present?.address, address) }),
    ...(entryRules === undefined ? {} : { entryRules: overlaid(EntryRulesSchema, present?.entryRules, entryRules) }),
  };
}

/** `present` with the fields that are given. */
function overlaid<M extends DescMessage>(
  schema: M,
  present: MessageShape<M> | undefined,
  given: MessageInitShape<M>,
): MessageShape<M> {
  const made = create(schema, given);
  const result = clone(schema, present ?? create(schema));
  for (const { localName } of schema.fields) {
    const name = localName as keyof MessageShape<M>;
    if (Object.hasOwn(given, localName)) result[name] = made[name];
  }
  return result;
}

function positionOf(text: string): { readonly latitude: number; readonly longitude: number } {
  const [latitude, longitude, ...rest] = text
    .split(",")
    .map((part) => (part.trim() === "" ? Number.NaN : Number(part)));
  if (latitude === undefined || longitude === undefined || rest.length > 0 || Number.isNaN(latitude + longitude)) {
    throw new InvalidArgumentError("Write degrees, north and east positive, such as 37.4979,127.0276.");
  }
  return { latitude, longitude };
}
