import { clone, create, type DescMessage, type MessageInitShape, type MessageShape } from "@bufbuild/protobuf";
import { InvalidArgumentError } from "commander";
import {
  AddressSchema,
  BranchSchema,
  EntryRulesSchema,
  type Branch,
} from "../../../../internal/gen/muin/identity/v1/branch_pb.ts";
import type { Cli } from "../../cli.ts";
import type { Given } from "../../terminal/command.ts";
import { Failure } from "../../terminal/failure.ts";
import { messageFromJson, readJson } from "../../terminal/json-input.ts";
import { wholeNumber } from "../../terminal/values.ts";

/** What a branch can be said to be like. */
export const contentOptions = {
  timeZone: { value: "zone", help: "IANA time zone, such as Asia/Seoul" },
  country: { value: "code", help: "country, ISO 3166-1 alpha-2, such as KR" },
  postalCode: { value: "code", help: "postal code" },
  region: { value: "name", help: "province, state or metropolitan city" },
  locality: { value: "name", help: "city or district" },
  line: { value: "text", help: "street, number, floor; may be given several times", many: true },
  position: { value: "latitude,longitude", help: "where it is, in degrees", parse: positionOf },
  facility: { value: "name", help: "what it offers, such as shower; may be given several times", many: true },
  plan: { value: "name", help: "plan that admits; may be given several times", many: true },
  capacity: {
    value: "number",
    help: "most people inside; 0 for any number",
    parse: wholeNumber(0, 1_000_000),
  },
  from: {
    value: "file",
    help: 'more of it as JSON, as "branches get --json" prints it; "-" for standard input',
  },
} as const;

type GivenContent = Given<unknown, typeof contentOptions> & {
  readonly name?: string | undefined;
  readonly owner?: string | undefined;
};

/** Fields of a branch: only what was given is there. */
type Content = Exclude<MessageInitShape<typeof BranchSchema>, Branch>;

/** What the command line, and the file that it names, say of a branch. */
export async function contentOf(given: GivenContent, stdin: Cli["stdin"]): Promise<Content> {
  const { name, owner, timeZone, position, facility } = given;
  const address = {
    ...(given.country === undefined ? {} : { countryCode: given.country }),
    ...(given.postalCode === undefined ? {} : { postalCode: given.postalCode }),
    ...(given.region === undefined ? {} : { region: given.region }),
    ...(given.locality === undefined ? {} : { locality: given.locality }),
    ...(given.line === undefined ? {} : { lines: [...given.line] }),
  };
  const entryRules = {
    ...(given.plan === undefined ? {} : { plans: given.plan.map((plan) => ({ plan })) }),
    ...(given.capacity === undefined ? {} : { capacityMax: given.capacity }),
  };
  return {
    ...(given.from === undefined ? {} : fileContentOf(await readJson(given.from, stdin), given.from)),
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
function fileContentOf(json: string, file: string): Content {
  let branch: Branch;
  try {
    branch = messageFromJson(BranchSchema, json);
  } catch (error) {
    throw new Failure("usage", `${file} is not a branch: ${(error as Error).message}`);
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
export function mergedContent(change: Content, present: Branch | undefined): Content {
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
    .map((part) => (/^\s*[+-]?\d{1,3}(?:\.\d{1,20})?\s*$/.test(part) ? Number(part) : Number.NaN));
  if (latitude === undefined || longitude === undefined || rest.length > 0 || Number.isNaN(latitude + longitude)) {
    throw new InvalidArgumentError("Write degrees, north and east positive, such as 37.4979,127.0276.");
  }
  return { latitude, longitude };
}
