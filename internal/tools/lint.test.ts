import { expect, test } from "bun:test";
import { cp, mkdtemp, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

const root = resolve(import.meta.dir, "../..");

/** What code of services and platform does not do itself. */
const banned = [
  "setTimeout(f, 1)",
  "setInterval(f, 1)",
  "Date.now()",
  "performance.now()",
  "Math.random()",
  "process.env",
  "Bun.env",
  "Bun.sleep(1)",
  "AbortSignal.timeout(1)",
  "globalThis.setTimeout(f, 1)",
  "globalThis.process.env",
  "globalThis.Math.random()",
  "Bun.sleepSync(1)",
  'new Temporal.ZonedDateTime(0n, "UTC")',
  "Temporal.Now.instant()",
  'new Intl.DateTimeFormat("en", { timeZone: "Asia/Seoul" })',
  "globalThis.Temporal",
  "globalThis.Intl",
  "f.getDate()",
  "f.getDay()",
  "f.getFullYear()",
  "f.getHours()",
  "f.getMinutes()",
  "f.getMonth()",
  "f.getTimezoneOffset()",
  "f.setDate()",
  "f.setFullYear()",
  "f.setHours()",
  "f.setMinutes()",
  "f.setMonth()",
  "f.toDateString()",
  "f.toTimeString()",
  "f.toLocaleString()",
  "f.toLocaleDateString()",
  "f.toLocaleTimeString()",
  "f.toZonedDateTime()",
  "f.toZonedDateTimeISO()",
];

/** Modules by which the same would come in another way, with what of them. */
const bannedImports = [
  ["setTimeout", "node:timers"],
  ["setTimeout", "node:timers/promises"],
  ["env", "node:process"],
  ["sleep", "bun"],
  ["SQL", "bun"],
  ["tz", "moment-timezone"],
  ["utc", "moment"],
  ["tz", "moment-timezone/moment-timezone.js"],
];

/** What oxlint found, as far as it is looked at here. */
interface Diagnostic {
  readonly code: string;
  readonly message: string;
  readonly help: string;
  readonly filename: string;
  readonly labels: readonly { readonly span: { readonly line: number } }[];
}

test("mutants: time, chance and settings that are not handed in, and zone rules of others, are refused, each with what to do instead", async () => {
  const folder = await mkdtemp(join(tmpdir(), "muin-lint-"));
  try {
    await cp(join(root, ".oxlintrc.json"), join(folder, ".oxlintrc.json"));
    await symlink(join(root, "node_modules"), join(folder, "node_modules"));
    const lines = [
      ...bannedImports.map(([name, module], index) => `import { ${name} as i${index} } from "${module}";`),
      ...banned.map((each, index) => `export const x${index} = (f) => [f, ${each}];`),
    ];
    const text = `${lines.join("\n")}\nexport const all = [${bannedImports.map((_, index) => `i${index}`).join(", ")}];\n`;
    const shipped = ["internal/count/read/mutant.ts", "internal/platform/events/mutant.ts", "cmd/muin/mutant.ts"];
    const free = ["internal/count/read/mutant.test.ts", "bench/mutant.ts"];
    for (const file of [...shipped, ...free]) await Bun.write(join(folder, file), text);
    const lint = Bun.spawn([join(root, "node_modules/.bin/oxlint"), "--format=json", "."], {
      cwd: folder,
      stdio: ["ignore", "pipe", "ignore"],
    });
    const { diagnostics } = (await new Response(lint.stdout).json()) as { diagnostics: readonly Diagnostic[] };
    const found = diagnostics.filter(({ code }) => code.includes("no-restricted-"));
    const linesOf = (file: string): readonly number[] =>
      found.filter(({ filename }) => filename === file).map(({ labels }) => labels[0]?.span.line ?? 0);
    for (const file of shipped) {
      expect(linesOf(file).toSorted((a, b) => a - b)).toEqual(lines.map((_, index) => index + 1));
    }
    for (const file of free) expect(linesOf(file)).toEqual([]);
    for (const { message, help } of found)
      expect(`${message} ${help}`).toMatch(/Take a|Use timeout|Settings come|Use platform\/clock\/zones/);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});
