import { readFileSync } from "node:fs";
import type { Mutant } from "./mutant-process.ts";

// Loaded before anything else in a process that shall run with a rule broken, its workers included.
const mutant = JSON.parse(process.env["MUIN_TEST_MUTANT"] ?? "") as Mutant;
const source = readFileSync(mutant.file, "utf8");
if (source.split(mutant.from).length !== 2) throw new Error(`${mutant.file} does not have ${mutant.from} once`);

Bun.plugin({
  name: "mutant",
  setup: (build) => {
    build.onLoad({ filter: new RegExp(`${RegExp.escape(mutant.file)}$`) }, () => ({
      contents: source.replace(mutant.from, () => mutant.to),
      loader: "ts",
    }));
  },
});
