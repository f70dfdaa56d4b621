import { systemClock } from "../../internal/platform/clock/clock.ts";
import { systemRandom } from "../../internal/platform/clock/random.ts";
import { processEnvironment } from "../../internal/platform/config/read-config.ts";
import { exitCodes } from "./terminal/exit-codes.ts";
import { createOutput } from "./terminal/output.ts";
import { runProgram } from "./program.ts";

// Whoever reads the output may stop reading: `muin counts list | head` is no failure.
for (const stream of [process.stdout, process.stderr]) {
  stream.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code === "EPIPE") process.exit(exitCodes.done.code);
    throw error;
  });
}

const env = processEnvironment();
const interruption = new AbortController();
let listening = false;

process.exitCode = await runProgram(
  {
    env,
    output: createOutput(process.stdout, process.stderr, (env["NO_COLOR"] ?? "") === "" && env["TERM"] !== "dumb"),
    clock: systemClock,
    random: systemRandom,
    stdin: process.stdin,
    signal: () => {
      if (!listening) {
        listening = true;
        for (const name of ["SIGINT", "SIGTERM"] as const) {
          process.on(name, () => {
            if (interruption.signal.aborted) process.exit(exitCodes.interrupted.code);
            interruption.abort();
          });
        }
      }
      return interruption.signal;
    },
  },
  process.argv.slice(2),
);
