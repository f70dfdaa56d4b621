import { cp, mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { runToEnd, toolFolder } from "../run-program.ts";

const root = resolve(import.meta.dir, "../../..");
const programs = join(root, "node_modules/.bin");
const sources = join(import.meta.dir, "clients");
const oapiCodegen = "v2.8.2";

/** What a client is generated from, and what it calls. */
export interface ClientTarget {
  /** File of the OpenAPI document. */
  readonly document: string;
  readonly http: string;
  readonly key: string;
}

/** Types by openapi-typescript, calls by openapi-fetch. Returns what the program printed. */
export async function callByTypeScript({ document, http, key }: ClientTarget): Promise<string> {
  await mkdir(join(root, ".cache"), { recursive: true });
  const folder = await mkdtemp(join(root, ".cache/client-")); // Packages are found from within the checkout alone.
  try {
    const bun = [process.execPath, "--bun"];
    await runToEnd([...bun, join(programs, "openapi-typescript"), document, "--output", join(folder, "muin.ts")]);
    await cp(join(sources, "typescript/main.ts.txt"), join(folder, "main.ts"));
    await Bun.write(
      join(folder, "tsconfig.json"),
      JSON.stringify({ extends: join(root, "tsconfig.json"), include: ["main.ts"], exclude: [] }),
    );
    await runToEnd([...bun, join(programs, "tsc"), "--noEmit", "--project", folder]);
    return (await runToEnd([process.execPath, join(folder, "main.ts"), http, key])).output;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** By openapi-python-client, in `bin`. Returns what the program printed. */
export async function callByPython(bin: string, { document, http, key }: ClientTarget): Promise<string> {
  return inFolder("python", async (folder) => {
    const generate = ["generate", "--path", document, "--meta", "none", "--output-path", join(folder, "muin_client")];
    // Its formatter lies beside it.
    const env = { PATH: `${bin}:${process.env["PATH"] ?? ""}` };
    await runToEnd([join(bin, "openapi-python-client"), ...generate, "--fail-on-warning"], { cwd: folder, env });
    await runToEnd([join(bin, "python"), "-m", "compileall", "-q", folder]);
    return (await runToEnd([join(bin, "python"), join(folder, "main.py"), http, key])).output;
  });
}

/** By oapi-codegen, which is built once per user. Returns what the program printed. */
export async function callByGo({ document, http, key }: ClientTarget): Promise<string> {
  const tool = toolFolder(`oapi-codegen-${oapiCodegen.slice(1)}`);
  if (!(await Bun.file(join(tool, "oapi-codegen")).exists())) {
    await mkdir(tool, { recursive: true });
    const source = `github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen@${oapiCodegen}`;
    await runToEnd(["go", "install", source], { env: { GOBIN: tool } });
  }
  return inFolder("go", async (folder) => {
    await mkdir(join(folder, "muin"));
    const options = ["-generate", "types,client", "-package", "muin", "-o", join(folder, "muin/muin.go")];
    await runToEnd([join(tool, "oapi-codegen"), ...options, document]);
    await runToEnd(["go", "build", "-o", "client", "."], { cwd: folder });
    return (await runToEnd([join(folder, "client"), http, key])).output;
  });
}

/** Gives a copy of a language's sources to `work`. */
async function inFolder(language: string, work: (folder: string) => Promise<string>): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "muin-client-"));
  try {
    await cp(join(sources, language), folder, { recursive: true });
    return await work(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
