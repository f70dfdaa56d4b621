/**
 * Brings `internal/gen` up to date with the protos, the page of error reasons with the tables of errors, and the bytes of WebAssembly with their source. With `--check`, or where `CI` is "true", it changes nothing and fails naming
 * what is out of date.
 */
import { fromBinary } from "@bufbuild/protobuf";
import {
  FileDescriptorSetSchema,
  type DescriptorProto,
  type EnumDescriptorProto,
  type FileDescriptorProto,
  type FileDescriptorSet,
} from "@bufbuild/protobuf/wkt";
import { Glob } from "bun";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { errorReasonsDocument } from "./error-reasons.ts";
import { scopesModule } from "./scopes-module.ts";
import { wasmModule, wasmModuleText, wasmSource } from "./wasm-module.ts";

const root = resolve(import.meta.dir, "../..");
const current = join(root, "internal/gen");
/** What every module begins with that is made here. */
const generatedHead = ["// @generated from the comments in proto/muin", "/* eslint-disable */", ""];
const checkOnly = process.argv.includes("--check") || process.env["CI"] === "true";

const folder = await mkdtemp(join(tmpdir(), "muin-generate-"));
try {
  await buf("generate", "--output", folder);
  const fresh = join(folder, "internal/gen");
  const image = join(folder, "image.binpb");
  await buf("build", "--path", "proto/muin", "--as-file-descriptor-set", "--output", image);
  const descriptors = fromBinary(FileDescriptorSetSchema, await Bun.file(image).bytes());
  for (const [file, text] of commentModules(descriptors)) await Bun.write(join(fresh, file), text);
  await Bun.write(join(fresh, "scopes.ts"), scopesModule(descriptors));
  const [wanted, present] = [await filesOf(fresh), await filesOf(current)];
  const stale: string[] = [];
  for (const file of wanted) {
    const text = await Bun.file(join(fresh, file)).text();
    if (present.has(file) && text === (await Bun.file(join(current, file)).text())) continue;
    stale.push(file);
    if (checkOnly) continue;
    await mkdir(dirname(join(current, file)), { recursive: true });
    await Bun.write(join(current, file), text);
  }
  for (const file of present) {
    if (wanted.has(file)) continue;
    stale.push(file);
    if (!checkOnly) await rm(join(current, file));
  }
  if (wanted.size === 0) throw new Error("buf generated nothing");
  const updated = stale.map((file) => `internal/gen/${file}`);
  updated.push(...(await writeWasmModule()));
  // The tables of errors load what was generated: not before that is as it should be.
  if (!checkOnly || stale.length === 0) updated.push(...(await writeErrorReasons()));
  for (const file of updated) console.log(`${checkOnly ? "out of date" : "updated"}: ${file}`);
  if (checkOnly && updated.length > 0) {
    console.error('What is generated is out of date: run "bun run generate" and commit it.');
    process.exitCode = 1;
  }
} finally {
  await rm(folder, { recursive: true, force: true });
}

/** Brings the module with the bytes of WebAssembly up to date. Returns its path when it was not. */
async function writeWasmModule(): Promise<readonly string[]> {
  const module = Bun.file(join(root, wasmModule));
  const text = await wasmModuleText(await Bun.file(join(root, wasmSource)).text());
  if ((await module.exists()) && (await module.text()) === text) return [];
  if (!checkOnly) await module.write(text);
  return [wasmModule];
}

/** Brings the page of error reasons up to date. Returns its path when it was not. */
async function writeErrorReasons(): Promise<readonly string[]> {
  const file = "cmd/muin/ERRORS.md";
  const page = Bun.file(join(root, file));
  const { catalog } = await import("../catalog.ts");
  const text = errorReasonsDocument(catalog);
  if ((await page.exists()) && (await page.text()) === text) return [];
  if (!checkOnly) await page.write(text);
  return [file];
}

async function buf(...args: readonly string[]): Promise<void> {
  const bin = join(root, "node_modules/.bin");
  const child = Bun.spawn([join(bin, "buf"), ...args], {
    cwd: root,
    stdio: ["ignore", "inherit", "inherit"],
    env: { ...process.env, PATH: `${bin}:${process.env["PATH"] ?? ""}` }, // buf looks for its plugins there.
  });
  if ((await child.exited) !== 0) process.exit(1);
}

/** A module per package of protos with what stands in them, and one that finds them by the package's name; each with its path. */
function commentModules({ file }: FileDescriptorSet): ReadonlyMap<string, string> {
  const packages = new Map<string, Record<string, string>>();
  for (const each of file) {
    if (!each.package.startsWith("muin.")) continue; // What the protos import stands in the set too.
    packages.set(each.package, { ...packages.get(each.package), ...commentsIn(each) });
  }
  const names = [...packages.keys()].toSorted();
  const modules = new Map(names.map((name) => [commentsPath(name), commentsModule(packages.get(name)!)]));
  return modules.set("package-comments.ts", indexModule(names.map((name) => [name, commentsPath(name)])));
}

function commentsPath(name: string): string {
  return `${name.replaceAll(".", "/")}/comments.ts`;
}

/**
 * The comments above services, RPCs, messages, fields, enums and their values, by full name (of a value: the enum's name and its own).
 * Paths are those of https://protobuf.dev/reference/protobuf/google.protobuf#source-code-info: numbers of fields and indexes, in turn.
 */
function commentsIn(file: FileDescriptorProto): Record<string, string> {
  const { package: scope, messageType, enumType, service, sourceCodeInfo } = file;
  const comments: Record<string, string> = {};
  const texts = new Map(sourceCodeInfo?.location.map(({ path, leadingComments }) => [path.join("."), leadingComments]));
  const put = (name: string, path: string): void => {
    const text = texts.get(path) ?? "";
    if (text.trim() !== "") comments[name] = text.trim().replaceAll(/ *\n */g, " ");
  };
  const putEnum = ({ name, value }: EnumDescriptorProto, within: string, path: string): void => {
    put(`${within}.${name}`, path);
    value.forEach((each, index) => put(`${within}.${name}.${each.name}`, `${path}.2.${index}`));
  };
  const putMessage = (message: DescriptorProto, within: string, path: string): void => {
    const name = `${within}.${message.name}`;
    put(name, path);
    message.field.forEach((each, index) => put(`${name}.${each.name}`, `${path}.2.${index}`));
    message.nestedType.forEach((each, index) => putMessage(each, name, `${path}.3.${index}`));
    message.enumType.forEach((each, index) => putEnum(each, name, `${path}.4.${index}`));
  };
  messageType.forEach((each, index) => putMessage(each, scope, `4.${index}`));
  enumType.forEach((each, index) => putEnum(each, scope, `5.${index}`));
  service.forEach(({ name, method }, index) => {
    put(`${scope}.${name}`, `6.${index}`);
    method.forEach((each, nth) => put(`${scope}.${name}.${each.name}`, `6.${index}.2.${nth}`));
  });
  return comments;
}

function commentsModule(comments: Readonly<Record<string, string>>): string {
  const sorted = Object.fromEntries(Object.entries(comments).toSorted(([a], [b]) => (a < b ? -1 : 1)));
  return [
    ...generatedHead,
    "/** What the protos of this package say of services, RPCs, messages, fields, enums and their values, by full name. */",
    `export const comments: Readonly<Record<string, string>> = ${JSON.stringify(sorted, null, 2)};`,
    "",
  ].join("\n");
}

/** One line per package: the build of a service's binary keeps only those of what it serves. */
function indexModule(packages: readonly (readonly [name: string, path: string])[]): string {
  return [
    ...generatedHead,
    "/** Loads what the protos of a package say, by the package's name. */",
    "export const commentsOf: Readonly<Record<string, () => Promise<{ comments: Readonly<Record<string, string>> }>>> = {",
    ...packages.map(([name, path]) => `  "${name}": () => import("./${path}"),`),
    "};",
    "",
  ].join("\n");
}

async function filesOf(path: string): Promise<ReadonlySet<string>> {
  return new Set((await Array.fromAsync(new Glob("**/*.ts").scan({ cwd: path }))).toSorted());
}
