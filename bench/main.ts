import { Command } from "commander";
import { printAttack, runAttack } from "./attack/attack.ts";
import { runCounts } from "./counts/counts.ts";
import { isSound, printCounts } from "./counts/print.ts";
import { runDoor } from "./door/door.ts";
import { isSound as isDoorSound, printDoor } from "./door/print.ts";
import { writeResults, writeText } from "./harness/results.ts";
import { printProfiles, runProfiles } from "./profile/profile.ts";
import { printSignup, runSignup } from "./signup/signup.ts";
import { printTelemetry, runTelemetry } from "./telemetry/telemetry.ts";

interface Options {
  readonly quick?: boolean;
  readonly only?: string;
  readonly json?: boolean;
}

const program = new Command("bench").description("measures Muin beside its peers, in the same run on the same machine");
const report = (line: string): void => console.error(line);

program
  .command("counts")
  .description("counting: open loop and saturation over every lane, beside plain INCR and a generic handler")
  .option("--quick", "fewer rows and short windows: shows that it works, not how fast; writes no file")
  .option("--only <pattern>", "only rows whose name matches this regular expression; writes no file")
  .option("--json", "print JSON lines instead of the table")
  .action(async (options: Options) => {
    const quick = options.quick === true;
    const pattern = new RegExp(options.only ?? "");
    const result = await runCounts({
      wanted: (row) => pattern.test(row.id) && (!quick || row.quick),
      ...(quick
        ? { windowMs: 300, warmUpMs: 200, repetitions: 2, counts: 1000 }
        : { windowMs: 2000, warmUpMs: 10_000, repetitions: 3, counts: 10_000 }),
      report,
    });
    const { rows, targets, ...run } = result;
    const lines = [
      { kind: "run", ...run },
      ...rows.map((row) => Object.assign({ kind: "row" }, row)),
      ...targets.map((target) => Object.assign({ kind: "target" }, target)),
    ];
    await finish("counts", options, lines, printCounts(result), isSound(result));
  });

program
  .command("door")
  .description(
    "recognising faces: every engine beside its peers, and what enrolments, erasures and a halted store do to it",
  )
  .option("--quick", "the smallest gallery and short windows: shows that it works, not how fast; writes no file")
  .option("--only <pattern>", "only rows whose name matches this regular expression; writes no file")
  .option("--json", "print JSON lines instead of the table")
  .action(async (options: Options) => {
    const quick = options.quick === true;
    const pattern = new RegExp(options.only ?? "");
    const result = await runDoor({
      wanted: (row) => pattern.test(row.id) && (!quick || row.quick),
      ...(quick
        ? {
            sizes: [1000],
            probes: 100,
            windowMs: 500,
            warmUpMs: 200,
            repetitions: 1,
            people: 50,
            rpcPeople: 10,
            haltMs: 1000,
          }
        : {
            sizes: [1000, 5000, 20_000],
            probes: 400,
            windowMs: 2000,
            warmUpMs: 1000,
            repetitions: 3,
            people: 1000,
            rpcPeople: 300,
            haltMs: 5000,
          }),
      report,
    });
    const { rows, events, targets, ...run } = result;
    const lines = [
      { kind: "run", ...run },
      ...rows.map((row) => Object.assign({ kind: "row" }, row)),
      ...events.map((event) => Object.assign({ kind: "event" }, event)),
      ...targets.map((target) => Object.assign({ kind: "target" }, target)),
    ];
    await finish("door", options, lines, printDoor(result), isDoorSound(result));
  });

program
  .command("telemetry")
  .description("what tracing costs on the hot path: off, and on with 0, 10 and 100 % sampled")
  .option("--quick", "short windows: shows that it works, not how much; writes no file")
  .option("--json", "print JSON lines instead of the table")
  .action(async (options: Options) => {
    const result = await runTelemetry({
      ...(options.quick === true
        ? { windowMs: 300, warmUpMs: 300, repetitions: 1 }
        : { windowMs: 3000, warmUpMs: 1500, repetitions: 4 }),
      callers: 64,
      counts: 100,
      report,
    });
    const lines = [
      { kind: "run", machine: result.machine },
      ...result.rows.map((row) => Object.assign({ kind: "row" }, row)),
    ];
    const sound = result.rows.every(({ faults }) => faults.length === 0);
    await finish("telemetry", options, lines, printTelemetry(result), sound);
  });

program
  .command("signup")
  .description("sign-ups at 10/s: how long until every service that keeps a copy of people shows a new one")
  .option("--quick", "a short window: shows that it works, not how long it takes; writes no file")
  .option("--json", "print JSON lines instead of the table")
  .action(async (options: Options) => {
    const windowMs = options.quick === true ? 2000 : 60_000;
    const result = await runSignup({ windowMs, ratePerS: 10, report });
    const { rows, ...run } = result;
    const lines = [{ kind: "run", ...run }, ...rows.map((row) => Object.assign({ kind: "row" }, row))];
    await finish("signup", options, lines, printSignup(result), result.faults.length === 0);
  });

program
  .command("attack")
  .description("hostile peers on both ports: known callers are all answered meanwhile, and how fast")
  .option("--quick", "small attacks: shows that they are held off; writes no file")
  .option("--only <pattern>", "only attacks whose name matches this regular expression; writes no file")
  .option("--json", "print JSON lines instead of the table")
  .action(async (options: Options) => {
    const whole = options.quick !== true;
    const pattern = new RegExp(options.only ?? "");
    const lastingMs = whole ? 45_000 : 15_000;
    const result = await runAttack({ wanted: ({ id }) => pattern.test(id), whole, lastingMs, quietMs: 10_000, report });
    const lines = [
      { kind: "run", machine: result.machine },
      ...result.rows.map((row) => Object.assign({ kind: "row" }, row)),
    ];
    const sound = result.rows.every(({ faults }) => faults.length === 0);
    await finish("attack", options, lines, printAttack(result), sound);
  });

program
  .command("profile")
  .description("CPU time of a write by process, kind of thread and, where perf is present, the code that ran")
  .option("--quick", "short windows: shows that it works, not where time goes; writes no file")
  .option("--only <pattern>", "rows of `counts` whose name matches this regular expression; writes no file")
  .action(async ({ quick, only }: Options) => {
    const profiles = await runProfiles({
      wanted: only === undefined ? undefined : new RegExp(only),
      ...(quick === true
        ? { windowMs: 1000, warmUpMs: 0, counts: 100 }
        : { windowMs: 10_000, warmUpMs: 10_000, counts: 10_000 }),
      report,
    });
    const text = printProfiles(profiles);
    console.log(text);
    if (quick !== true && only === undefined) report(`written: ${await writeText("profile", new Date(), text)}`);
    if (profiles.some(({ faults }) => faults.length > 0)) process.exitCode = 1;
  });

/** Prints a run and keeps it when it is a whole one. Only what was lost or refused makes the command fail, never a timing. */
async function finish(
  suite: string,
  options: Options,
  lines: readonly object[],
  table: string,
  sound: boolean,
): Promise<void> {
  const at = new Date();
  const command = ["bun run bench", ...process.argv.slice(2)].join(" ");
  const [run, ...rows] = lines;
  const all = [{ suite, finished: at.toISOString(), command, ...run }, ...rows];
  console.log(options.json === true ? all.map((line) => JSON.stringify(line)).join("\n") : table);
  if (options.quick !== true && options.only === undefined) report(`written: ${await writeResults(suite, at, all)}`);
  if (!sound) process.exitCode = 1;
}

await program.parseAsync();
