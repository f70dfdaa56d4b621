import { Command } from "commander";
import { runCounts } from "./counts/counts.ts";
import { isSound, printCounts } from "./counts/print.ts";
import { writeResults } from "./harness/results.ts";

const program = new Command("bench").description("measures Muin beside its peers, in the same run on the same machine");

program
  .command("counts")
  .description("counting: open loop and saturation over every lane, beside plain INCR and a generic handler")
  .option("--quick", "fewer rows and short windows: shows that it works, not how fast; writes no file")
  .option("--only <pattern>", "only rows whose name matches this regular expression; writes no file")
  .option("--json", "print JSON lines instead of the table")
  .action(async (options: { readonly quick?: boolean; readonly only?: string; readonly json?: boolean }) => {
    const quick = options.quick === true;
    const pattern = new RegExp(options.only ?? "");
    const at = new Date();
    const result = await runCounts({
      wanted: (row) => pattern.test(row.id) && (!quick || row.quick),
      ...(quick
        ? { windowMs: 300, warmUpMs: 200, repetitions: 2, counts: 1000 }
        : { windowMs: 2000, warmUpMs: 1000, repetitions: 3, counts: 10_000 }),
      report: (line) => console.error(line),
    });
    const command = `bun run bench ${process.argv.slice(2).join(" ")}`;
    const { rows, targets, ...run } = result;
    const lines = [
      { kind: "run", suite: "counts", at: at.toISOString(), command, ...run },
      ...rows.map((row) => Object.assign({ kind: "row" }, row)),
      ...targets.map((target) => Object.assign({ kind: "target" }, target)),
    ];
    if (options.json === true) console.log(lines.map((line) => JSON.stringify(line)).join("\n"));
    else console.log(printCounts(result));
    if (!quick && options.only === undefined) console.error(`written: ${await writeResults("counts", at, lines)}`);
    if (!isSound(result)) process.exitCode = 1;
  });

await program.parseAsync();
