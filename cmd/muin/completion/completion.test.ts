import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { systemClock } from "../../../internal/platform/clock/clock.ts";
import { systemRandom } from "../../../internal/platform/clock/random.ts";
import { importMutant } from "../../../internal/platform/testing/mutant.ts";
import { createProgram } from "../program.ts";
import { createOutput } from "../terminal/output.ts";
import * as bash from "./bash.ts";
import { commandTree, everyCommand, type CommandNode } from "./command-tree.ts";
import { fishScript } from "./fish.ts";
import { zshScript } from "./zsh.ts";

const silent = { write: () => true };
const program = commandTree(
  await createProgram(
    {
      env: {},
      output: createOutput(silent, silent, false),
      clock: systemClock,
      random: systemRandom,
      stdin: new ReadableStream(),
      signal: () => AbortSignal.abort(),
    },
    { up: true },
  ),
);

/** Where files are completed: a folder whose names do not change. */
const cwd = join(import.meta.dir, "..");

/** Words, the last of them begun, and what may stand there. */
const cases: readonly (readonly [words: readonly string[], offered: readonly string[]])[] = [
  [["co"], ["completion", "config", "counts"]],
  [["counts", "li"], ["list"]],
  [["counts", "list", "--st"], ["--state"]],
  [
    ["counts", "list", "--state", ""],
    ["active", "deleted"],
  ],
  [
    ["counts", "--url", "http://x", "list", "--l"],
    ["--label", "--limit"],
  ],
  [
    ["users", "role", "assign", "ada", ""],
    ["administrator", "helper", "member", "owner"],
  ],
  [["users", "role", "assign", "--branch", "b1", "ada", "a"], ["administrator"]],
  [["counts", "import", "--format", "j"], ["json"]],
  [
    ["counts", "import", "prog"],
    ["program.test.ts", "program.ts"],
  ],
  [["devices", "token", "--key-file", "GU"], ["GUIDE.md"]],
  [["branches", "owners", "re"], ["register"]],
  [
    ["completion", ""],
    ["bash", "fish", "zsh"],
  ],
  [["counts", "create", "visits", "--name", ""], []],
];

/** A shell's answers to all cases: each a line of words, in order. */
type Ask = (script: string) => Promise<readonly (readonly string[])[]>;

async function run(shell: readonly string[], text: string): Promise<readonly (readonly string[])[]> {
  const child = Bun.spawn([...shell], { cwd, stdin: new Blob([text]), stdout: "pipe", stderr: "pipe" });
  const [stdout, stderr, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  return stdout
    .trimEnd()
    .split("\n")
    .map((line) =>
      line
        .split(" ")
        .filter((word) => word !== "")
        .toSorted(),
    );
}

const quoted = (words: readonly string[]): string => words.map((word) => `'${word}'`).join(" ");

const askBash: Ask = (script) =>
  run(
    ["bash", "--norc"],
    `${script}
try() { COMP_WORDS=(muin "$@") COMP_CWORD=$#; _muin; echo "\${COMPREPLY[@]}"; }
${cases.map(([words]) => `try ${quoted(words)}`).join("\n")}
echo .`,
  );

/** What zsh does with the words that it is given, which begin with what was typed, needs a terminal; so they are taken from it. */
const askZsh: Ask = (script) =>
  run(
    ["zsh", "-f"],
    `compdef() {}
_describe() { offered=("\${(@)\${(P)2}%%:*}") }
compadd() { shift; offered=("$@") }
_files() { offered=($PREFIX*(N)) }
${script}
try() { words=(muin "$@") CURRENT=$(($# + 1)) PREFIX=\${@[-1]} offered=(); _muin; print -r -- \${(M)offered:#$PREFIX*} }
${cases.map(([words]) => `try ${quoted(words)}`).join("\n")}
print .`,
  );

const askFish: Ask = (script) =>
  run(
    ["fish", "--no-config"],
    `${script}
${cases.map(([words]) => `echo (complete -C ${quoted([["muin", ...words].join(" ")])} | string replace -r '\\t.*' '')`).join("\n")}
echo .`,
  );

const expected = [...cases.map(([, offered]) => offered), ["."]];

describe("completion", () => {
  const shells: readonly (readonly [string, Ask, (program: CommandNode) => string])[] = [
    ["bash", askBash, bash.bashScript],
    ["zsh", askZsh, zshScript],
    ["fish", askFish, fishScript],
  ];
  for (const [shell, ask, scriptOf] of shells) {
    test.skipIf(Bun.which(shell) === null)(
      `${shell} offers what may stand there (skipped without ${shell})`,
      async () => {
        expect(await ask(scriptOf(program))).toEqual(expected);
      },
    );
  }

  test("bash offers the value of an option that is written with =", async () => {
    const script = `${bash.bashScript(program)}
COMP_WORDS=(muin counts list --state = d) COMP_CWORD=5; _muin; echo "\${COMPREPLY[@]}"
COMP_WORDS=(muin counts list --state =) COMP_CWORD=4; _muin; echo "\${COMPREPLY[@]}"`;
    expect(await run(["bash", "--norc"], script)).toEqual([["deleted"], ["active", "deleted"]]);
  });

  test("an option takes a value everywhere or nowhere, as the script for fish takes it", () => {
    const kinds = new Map<string, Set<boolean>>();
    for (const { flag, takesValue } of everyCommand(program).flatMap(({ options }) => options)) {
      kinds.set(flag, (kinds.get(flag) ?? new Set()).add(takesValue));
    }
    expect([...kinds].filter(([, kind]) => kind.size > 1)).toEqual([]);
  });

  test("a mutant that takes the value of an option for a word of its own is caught", async () => {
    const mutant = await importMutant<typeof bash>(join(import.meta.dir, "bash.ts"), "&& pending=$word", "&& :");
    expect(await askBash(mutant.bashScript(program))).not.toEqual(expected);
  });
});
