import {
  getOption,
  hasOption,
  ScalarType,
  type DescField,
  type DescMessage,
  type DescMethod,
  type DescService,
} from "@bufbuild/protobuf";
import { Glob } from "bun";
import { expect, test } from "bun:test";
import { join } from "node:path";
import { field as fieldRules, type FieldRules } from "../../../gen/buf/validate/validate_pb.ts";
import { policy as policyOption } from "../../../gen/muin/platform/v1/options_pb.ts";
import { defaultRpcLimits, readBytesMaxOf } from "./limits.ts";

/** Methods that say themselves how large a request may be. */
const named: Readonly<Record<string, number>> = {
  "muin.count.v1.CountImportService.ImportBatch": 5_242_880,
  "muin.count.v1.CountManagementService.BatchCreateCounts": 5_242_880,
  "muin.face.v1.AccessService.Identify": 16_384,
  "muin.face.v1.AccessService.RecordExit": 16_384,
  "muin.face.v1.AccessService.RedeemPass": 16_384,
  "muin.face.v1.AccessService.Verify": 16_384,
};

/** Bytes that UTF-8 takes for a character at the most, and protobuf for a tag with a length or a number. */
const charBytesMax = 4;
const headBytesMax = 7;
const numberBytesMax = 10;

/** The largest encoding, in bytes, of a message whose rules hold; Infinity where they leave a field without bound. */
function bytesMaxOf(message: DescMessage, seen: readonly DescMessage[] = []): number {
  if (seen.includes(message)) return Number.POSITIVE_INFINITY;
  return message.fields.reduce((sum, each) => sum + fieldBytesMax(each, [...seen, message]), 0);
}

function fieldBytesMax(field: DescField, seen: readonly DescMessage[]): number {
  const rules = hasOption(field, fieldRules) ? getOption(field, fieldRules) : undefined;
  if (field.fieldKind === "map") return Number.POSITIVE_INFINITY;
  if (field.fieldKind !== "list") return headBytesMax + valueBytesMax(field, rules, seen);
  const list = rules?.type.case === "repeated" ? rules.type.value : undefined;
  const itemsMax = list === undefined || list.maxItems === 0n ? Number.POSITIVE_INFINITY : Number(list.maxItems);
  return itemsMax * (headBytesMax + valueBytesMax(field, list?.items, seen));
}

function valueBytesMax(
  field: { readonly message?: DescMessage | undefined; readonly scalar?: ScalarType | undefined },
  rules: FieldRules | undefined,
  seen: readonly DescMessage[],
): number {
  if (field.message !== undefined) {
    return field.message.file.proto.package.startsWith("muin.") ? bytesMaxOf(field.message, seen) : 4 * numberBytesMax;
  }
  if (field.scalar === ScalarType.BYTES) {
    const bytes = rules?.type.case === "bytes" ? rules.type.value : undefined;
    return Number(bytes?.maxLen || bytes?.len || Number.POSITIVE_INFINITY);
  }
  if (field.scalar !== ScalarType.STRING) return numberBytesMax;
  const text = rules?.type.case === "string" ? rules.type.value : undefined;
  if (text?.maxBytes) return Number(text.maxBytes);
  return Number(text?.maxLen || text?.len || Number.POSITIVE_INFINITY) * charBytesMax;
}

async function methodsOf(): Promise<readonly DescMethod[]> {
  const root = join(import.meta.dir, "../../../gen/muin");
  const methods: DescMethod[] = [];
  for await (const file of new Glob("**/*_service_pb.ts").scan(root)) {
    const module = (await import(join(root, file))) as Record<string, { kind?: string }>;
    for (const each of Object.values(module)) {
      if (each.kind === "service") methods.push(...(each as unknown as DescService).methods);
    }
  }
  return methods;
}

test("each method takes 16 KiB of anybody and 1 MiB of a known caller, unless it says otherwise", async () => {
  const methods = await methodsOf();
  expect(methods.length).toBeGreaterThan(80);
  for (const method of methods) {
    const policy = getOption(method, policyOption);
    const name = `${method.parent.typeName}.${method.name}`;
    const expected = named[name] ?? (policy.public ? 16_384 : 1_048_576);
    expect([name, readBytesMaxOf(policy, defaultRpcLimits)]).toEqual([name, expected]);
  }
});

/**
 * Methods with a field whose size the proto leaves open, a map or a text, and their handlers judge: far below the limit. A batch of
 * creations with many labels each is to be sent in parts.
 */
const judged = [
  "muin.count.v1.CountManagementService.BatchCreateCounts",
  "muin.count.v1.CountManagementService.CreateCount",
  "muin.count.v1.CountManagementService.UpdateCount",
  "muin.identity.v1.BranchService.CreateBranch",
  "muin.identity.v1.BranchService.ListBranches",
  "muin.identity.v1.BranchService.UpdateBranch",
  "muin.identity.v1.OwnerService.RegisterOwner",
  "muin.identity.v1.OwnerService.UpdateOwner",
  "muin.identity.v1.UserService.UpdatePreferences",
];

test("no method refuses for its size what its rules allow", async () => {
  const tight = (await methodsOf()).flatMap((method) => {
    const bytesMax = bytesMaxOf(method.input);
    const limit = readBytesMaxOf(getOption(method, policyOption), defaultRpcLimits);
    return bytesMax > limit ? [`${method.parent.typeName}.${method.name}`] : [];
  });
  expect(tight.toSorted()).toEqual(judged);
});
