import { describe, expect, test } from "bun:test";
import type { Command } from "commander";
import { systemClock } from "../../internal/platform/clock/clock.ts";
import { systemRandom } from "../../internal/platform/clock/random.ts";
import { exitCodesHelp } from "./terminal/exit-codes.ts";
import { createOutput } from "./terminal/output.ts";
import { createProgram, runProgram } from "./program.ts";

const silent = { write: () => true };
const cli = {
  env: {},
  output: createOutput(silent, silent, false),
  clock: systemClock,
  random: systemRandom,
  stdin: new ReadableStream(),
  signal: () => AbortSignal.abort(),
};
const program = await createProgram(cli, { up: true });

function helpOf(command: Command): string {
  let text = "";
  command.configureOutput({ writeOut: (part) => (text += part) });
  command.outputHelp();
  return text;
}

function leaves(command: Command, path: string): readonly (readonly [path: string, command: Command])[] {
  const own = command.commands.map((child) => leaves(child, `${path} ${child.name()}`));
  return command.commands.length === 0 ? [[path, command]] : own.flat();
}

describe("help", () => {
  const commands = leaves(program, "muin");

  test("names every command that there must be", () => {
    const names = commands.map(([path]) => path.slice("muin ".length));
    const counts = ["create", "inc", "dec", "set", "get", "list", "import", "verify"].map((name) => `counts ${name}`);
    const keys = ["create", "list", "revoke"].map((name) => `keys ${name}`);
    const services = ["secret", "list", "withdraw", "token"].map((name) => `services ${name}`);
    const devices = ["register", "activate", "token", "list", "revoke"].map((name) => `devices ${name}`);
    const events = ["tail", "republish", "replay"].map((name) => `events ${name}`);
    const others = [
      "up",
      "status",
      "graph",
      "config verify",
      "version",
      "dead-letters list",
      "dead-letters redrive",
      "outbox list",
      "outbox redrive",
      "audit list",
      "call",
      "completion",
    ];
    expect(names).toEqual(expect.arrayContaining([...counts, ...keys, ...services, ...devices, ...events, ...others]));
  });

  test.each(commands)("%s shows an example of itself", (path, command) => {
    const help = helpOf(command);
    expect(help).toMatch(/\nExamples?:\n/);
    expect(help.slice(help.search(/\nExamples?:\n/))).toContain(path);
  });

  test("tells the exit codes", () => {
    expect(helpOf(program)).toContain(exitCodesHelp());
  });
});

test("an argument that came as bytes that are no UTF-8 is refused", async () => {
  let said = "";
  const output = createOutput(silent, { write: (text: string) => (said += text) !== "" }, false);
  const args = ["counts", "create", "cafe", "--name", Buffer.from("caf\u00e9", "latin1").toString()];
  expect(await runProgram({ ...cli, output }, args)).toBe(2);
  expect(said).toBe('muin: the argument "caf\uFFFD" is not UTF-8\n');
});
