import type { Output } from "./output.ts";

/** What is said of a thing: a name and a value; an empty value is left out. */
export type Fact = readonly [name: string, value: string];

/** Characters that names are padded to. */
const nameWidth = 12;

/** Prints facts, one a line. */
export function printFacts(facts: readonly Fact[], output: Output): void {
  for (const [name, value] of facts) if (value !== "") output.print(`${name.padEnd(nameWidth)}${value}`);
}
