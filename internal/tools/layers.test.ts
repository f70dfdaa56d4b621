import { expect, test } from "bun:test";
import { cp, mkdtemp, realpath, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join, relative, resolve } from "node:path";

const root = resolve(import.meta.dir, "../..");
const { exceptions } = (await import(join(root, ".dependency-cruiser.mjs"))) as {
  exceptions: Readonly<Record<string, readonly { file: string; sees: readonly string[] }[]>>;
};

/** More than half of what is looked at now: fewer would mean that folders are not looked at. */
const modulesMin = 500;

/** Imports against a rule: the rule, the file that imports, what it imports. Files that are not there are made. */
const mutants: readonly (readonly [rule: string, from: string, to: string])[] = [
  ["floor-of-clock", "internal/platform/clock/mutant-up.ts", "internal/platform/telemetry/target.ts"],
  ["floor-of-clock", "internal/platform/clock/mutant-beside.ts", "internal/platform/errors/target.ts"],
  ["floor-of-redis", "internal/platform/redis/mutant.ts", "internal/platform/postgres/target.ts"],
  ["floor-of-service", "internal/platform/service/mutant.ts", "internal/platform/events/target.ts"],
  ["floor-of-events", "internal/platform/events/mutant.ts", "internal/platform/catalog/target.ts"],
  ["floor-of-rpc-call", "internal/platform/rpc/call/mutant.ts", "internal/platform/rpc/server/target.ts"],
  ["floor-of-rpc-connect", "internal/platform/rpc/connect/mutant.ts", "internal/platform/rpc/rest/target.ts"],
  ["floor-of-local", "internal/platform/local/mutant.ts", "internal/platform/runtime/target.ts"],
  ["every-folder-has-a-floor", "internal/platform/novel/mutant.ts", "internal/platform/clock/target.ts"],
  ["broker-is-opened-by-its-url", "internal/platform/runtime/mutant.ts", "internal/platform/events/redis/target.ts"],
  ["platform-knows-no-domain", "internal/platform/clock/mutant-domain.ts", "internal/count/read/target.ts"],
  ["platform-knows-no-domain", "internal/platform/clock/mutant-shared.ts", "internal/shared/hours/target.ts"],
  [
    "platform-knows-no-protos-of-domains",
    "internal/platform/runtime/mutant-proto.ts",
    "internal/gen/muin/count/v1/target_pb.ts",
  ],
  ["identity-knows-its-contract", "internal/platform/identity/mutant.ts", "internal/gen/muin/count/v1/target_pb.ts"],
  ["domains-never-import-each-other", "internal/count/read/mutant-domain.ts", "internal/identity/auth/target.ts"],
  ["services-never-import-each-other", "internal/count/read/mutant-service.ts", "internal/count/write/target.ts"],
  ["shared-knows-no-service", "internal/shared/hours/mutant.ts", "internal/count/read/target.ts"],
  ["domain-shared-knows-no-service", "internal/count/shared/mutant.ts", "internal/count/read/target.ts"],
  ["domains-see-no-driver", "internal/count/read/mutant-driver.ts", "postgres"],
  ["domains-see-no-driver", "internal/count/read/mutant-net.ts", "node:net"],
  ["nothing-imports-cmd", "internal/count/read/mutant-cmd.ts", "cmd/muin/target.ts"],
  ["cmd-sees-definitions", "cmd/muin/mutant.ts", "internal/count/read/target.ts"],
  ["tests-stay-outside", "internal/count/read/mutant-a.ts", "internal/count/read/target-fixture.ts"],
  ["tests-stay-outside", "internal/count/read/mutant-b.ts", "internal/count/read/target.contract.ts"],
  ["tests-stay-outside", "internal/count/read/mutant-c.ts", "internal/count/read/target-child.ts"],
  ["tests-stay-outside", "internal/count/read/mutant-d.ts", "internal/count/read/testdata/target.ts"],
  ["tests-stay-outside", "internal/count/read/mutant-e.ts", "internal/platform/testing/target.ts"],
  ["no-circular", "internal/count/read/mutant-cycle.ts", "internal/count/read/target-cycle.ts"],
];

test("mutants: an import against a rule is found, one of a type as well", async () => {
  const copy = await realpath(await mkdtemp(join(tmpdir(), "muin-layers-")));
  try {
    for (const folder of ["cmd", "internal", "bench", "package.json", "tsconfig.json", ".dependency-cruiser.mjs"]) {
      await cp(join(root, folder), join(copy, folder), { recursive: true });
    }
    await symlink(join(root, "node_modules"), join(copy, "node_modules"));
    for (const [index, [rule, from, to]] of mutants.entries()) {
      const isPackage = !to.includes("/");
      const path = isPackage ? to : relative(dirname(from), to).replace(/^(?!\.)/, "./");
      const keyword = index % 2 === 0 ? "import type" : "import";
      await Bun.write(join(copy, from), `${keyword} { x } from "${path}";\nexport type Y = typeof x;\n`);
      const back = `import { Y } from "./${from.split("/").at(-1)}";\n`;
      if (!isPackage) await Bun.write(join(copy, to), `${rule === "no-circular" ? back : ""}export const x = 1;\n`);
    }
    const layers = Bun.spawn(["sh", "-c", await scriptOf("layers")], {
      cwd: copy,
      env: { ...process.env, NO_COLOR: "1", PATH: `${join(root, "node_modules/.bin")}:${process.env["PATH"]}` },
      stdio: ["ignore", "pipe", "ignore"],
    });
    const output = await new Response(layers.stdout).text();
    expect(await layers.exited).not.toBe(0);
    const found = new Set([...output.matchAll(/error ([\w-]+): (\S+)/g)].map(([, rule, from]) => `${rule}: ${from}`));
    expect(mutants.map(([rule, from]) => `${rule}: ${from}`).filter((mutant) => !found.has(mutant))).toEqual([]);
    const innocent = [...found].filter((each) => !/\/(mutant|target)[^/]*$/.test(each));
    expect(innocent).toEqual([]);
    expect(Number(/(\d+) modules/.exec(output)?.[1])).toBeGreaterThan(modulesMin);
  } finally {
    await rm(copy, { recursive: true, force: true });
  }
});

/** A script of package.json. */
async function scriptOf(name: string): Promise<string> {
  const { scripts } = (await Bun.file(join(root, "package.json")).json()) as { scripts: Record<string, string> };
  return scripts[name] ?? "";
}

test("an exception is one that is needed", async () => {
  const idle: string[] = [];
  for (const { file, sees } of Object.values(exceptions).flat()) {
    const source = Bun.file(join(root, file));
    const text = (await source.exists()) ? await source.text() : "";
    const imported = [...text.matchAll(/from "([^"]+)"/g)].map(([, path = ""]) =>
      path.startsWith(".") ? relative(root, resolve(root, dirname(file), path)) : `node_modules/${path}/`,
    );
    const isSeen = (seen: string): boolean => imported.some((path) => seen === path || seen.startsWith(path));
    idle.push(...sees.filter((seen) => !isSeen(seen)).map((seen) => `${file} does not import ${seen}`));
  }
  expect(idle).toEqual([]);
});
