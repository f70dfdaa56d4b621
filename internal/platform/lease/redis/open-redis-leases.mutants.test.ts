import { expect, test } from "bun:test";
import { join } from "node:path";
import { environmentOf, type Mutant } from "../../testing/mutant-process.ts";
import { lacksSteppableClock } from "../../testing/steppable-clock.ts";

const suite = join(import.meta.dir, "open-redis-leases.test.ts");
const inThisFolder = (file: string): string => join(import.meta.dir, file);

type RuleMutant = Mutant & { readonly rule: string; readonly caughtBy: string };

const mutants: readonly RuleMutant[] = [
  {
    rule: "a lease is free only when its end has passed",
    file: inThisFolder("lease-script.ts"),
    from: "if till <= now or till > now + life then",
    to: "if true then",
    caughtBy: "a lease has one holder at a time, and its next term a larger number",
  },
  {
    rule: "a lease is free when its end has passed",
    file: inThisFolder("lease-script.ts"),
    from: "if till <= now or till > now + life then",
    to: "if till == 0 then",
    caughtBy: "a holder that never renews its lease is succeeded",
  },
  {
    rule: "each term has another number",
    file: inThisFolder("lease-script.ts"),
    from: "local number = tonumber(lease[1] or '0') + 1",
    to: "local number = 1",
    caughtBy: "work that ends by itself begins again, in a later term",
  },
  {
    rule: "a stopped holder gives its lease up",
    file: inThisFolder("candidacy.ts"),
    from: "return `x${slot.number}`;",
    to: 'return "-";',
    caughtBy: "a lease that was given up is free at once",
  },
  {
    rule: "a holder that was not renewed in time is told",
    file: inThisFolder("candidacy.ts"),
    from: "if (clock.monotonic() - renewedMs > leaseMs - safetyMs) stop.abort();",
    to: "",
    caughtBy: "a holder that cannot renew its lease is told",
  },
  {
    rule: "an old term is told from the current one",
    file: inThisFolder("open-redis-leases.ts"),
    from: "if (Number(number) !== term.number) throw new FencedError(term);",
    to: "",
    caughtBy: "a term is current until the next one begins",
  },
];

/** What only a server with a clock of its own can show. */
const clockMutants: readonly RuleMutant[] = [
  {
    rule: "a lease whose end is further away than any lasts is free",
    file: inThisFolder("lease-script.ts"),
    from: "if till <= now or till > now + life then",
    to: "if till <= now then",
    caughtBy: "a lease ends also when the server's clock has stepped back an hour",
  },
];

test.concurrent.each([...mutants, ...(lacksSteppableClock ? [] : clockMutants)])(
  "mutant: without the rule that $rule, a test fails",
  async ({ caughtBy, ...mutant }) => {
    const run = Bun.spawn([process.execPath, "test", "--timeout", "20000", suite, "-t", caughtBy], {
      env: environmentOf(mutant),
      stdin: "ignore",
      stdout: "ignore",
      stderr: "pipe",
    });
    const output = await new Response(run.stderr).text();
    expect(output).toMatch(new RegExp(`\\(fail\\) [^>]+ > ${RegExp.escape(caughtBy)}`));
    expect(await run.exited).toBe(1);
  },
);
