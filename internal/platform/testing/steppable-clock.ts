import { rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Glob } from "bun";
import { createServerFolder } from "./server-folder.ts";

/** A machine's clock that a test sets while programs run by it. */
export interface SteppableClock extends AsyncDisposable {
  /** Variables of environment for the programs that run by it. Their timers run on as ever: CLOCK_MONOTONIC is the real one. */
  readonly env: Readonly<Record<string, string>>;
  /** Sets it forward, or back where the number is below zero, from what it shows. */
  step(seconds: number): Promise<void>;
}

/** Where Debian and Ubuntu have it (package "faketime"). */
const library = [...new Glob("lib/*/faketime/libfaketime.so.1").scanSync({ cwd: "/usr" })]
  .map((path) => join("/usr", path))
  .at(0);

/** Whether a test that needs such a clock is to be skipped: where libfaketime is not installed. In CI it must be. */
export const lacksSteppableClock = library === undefined && process.env["CI"] === undefined;

/** A clock that shows the right time until it is stepped. */
export async function createSteppableClock(): Promise<SteppableClock> {
  if (library === undefined) throw new Error('there is no libfaketime: install the package "faketime"');
  const folder = await createServerFolder("clock");
  const file = join(folder.path, "offset");
  let offsetSeconds = 0;
  const step = async (seconds: number): Promise<void> => {
    offsetSeconds += seconds;
    // It is read whenever a program asks for the time: never half of it.
    await writeFile(`${file}.new`, offsetSeconds < 0 ? `${offsetSeconds}` : `+${offsetSeconds}`);
    await rename(`${file}.new`, file);
  };
  await step(0);
  return {
    env: {
      LD_PRELOAD: library,
      FAKETIME_TIMESTAMP_FILE: file,
      FAKETIME_NO_CACHE: "1",
      FAKETIME_DONT_FAKE_MONOTONIC: "1",
    },
    step,
    [Symbol.asyncDispose]: () => folder.remove(),
  };
}
