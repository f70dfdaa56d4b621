import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { Command } from "commander";
import { systemClock } from "../../../internal/platform/clock/clock.ts";
import { systemRandom } from "../../../internal/platform/clock/random.ts";
import { importMutant } from "../../../internal/platform/testing/mutant.ts";
import { createOutput } from "../terminal/output.ts";
import * as remote from "./remote-command.ts";

/** A list whose pages are these, each no longer than it was asked for; told what of it was asked. */
async function run(
  { remoteCommand }: Pick<typeof remote, "remoteCommand">,
  total: number,
  args: readonly string[],
  limitDefault?: number,
) {
  const written = { stdout: "", stderr: "" };
  const asked: number[] = [];
  const streamTo = (name: keyof typeof written) => ({
    write: (text: string) => {
      written[name] += text;
      return true;
    },
  });
  const program = new Command("muin").exitOverride();
  remoteCommand({
    name: "list",
    description: "list",
    examples: [],
    read: async (_given, _muin, { pageSize, pageToken }) => {
      asked.push(pageSize);
      const from = Number(pageToken);
      const entries = Array.from({ length: total }, (_, index) => index).slice(from, from + pageSize);
      const next = from + entries.length;
      return { entries, nextPageToken: next < total ? String(next) : "" };
    },
    json: (entry: number) => entry,
    columns: { NUMBER: String },
    none: "there are none",
    ...(limitDefault === undefined ? {} : { limitDefault }),
  })(program, {
    env: {},
    output: createOutput(streamTo("stdout"), streamTo("stderr"), false),
    clock: systemClock,
    random: systemRandom,
    stdin: new ReadableStream(),
    signal: () => new AbortController().signal,
  });
  await program.parseAsync(["list", ...args], { from: "user" });
  return { rows: written.stdout.split("\n").length - 2, stderr: written.stderr, asked };
}

describe("a list", () => {
  test("follows its pages to the end, and says so when there is nothing", async () => {
    expect(await run(remote, 3, [])).toEqual({ rows: 3, stderr: "", asked: [500] });
    expect(await run(remote, 1001, [])).toEqual({ rows: 1001, stderr: "", asked: [500, 500, 500] });
    expect(await run(remote, 0, [])).toMatchObject({ stderr: "there are none\n" });
    expect(await run(remote, 0, ["--json"])).toMatchObject({ stderr: "" });
  });

  test("asks for no more than its limit, and says that there are more", async () => {
    expect(await run(remote, 1001, ["--limit", "501"])).toEqual({
      rows: 501,
      stderr: "there are more than these 501\n",
      asked: [500, 1],
    });
    expect(await run(remote, 3, ["--limit", "3"])).toMatchObject({ rows: 3, stderr: "" });
    expect(await run(remote, 3, [], 2)).toMatchObject({ rows: 2, stderr: "there are more than these 2\n" });
    expect(await run(remote, 3, ["--limit", "9"], 2)).toMatchObject({ rows: 3, stderr: "" });
  });

  test("a mutant that stops after its first page is caught", async () => {
    const mutant = await importMutant<typeof remote>(
      join(import.meta.dir, "remote-command.ts"),
      'while (pageToken !== "" && shown < limit)',
      "while (shown > limit)",
    );
    expect((await run(mutant, 1001, [])).rows).not.toBe(1001);
  });
});
