import type { Command } from "commander";
import type { Cli } from "../cli.ts";
import { registerCountsCreate } from "./counts-create.ts";
import { registerCountsDelete } from "./counts-delete.ts";
import { registerCountsGet } from "./counts-get.ts";
import { registerCountsImport } from "./counts-import.ts";
import { registerCountsList } from "./counts-list.ts";
import { registerCountsVerify } from "./counts-verify.ts";
import { registerCountsWrite } from "./counts-write.ts";

/** Registers `counts` and what belongs to it. */
export function registerCounts(program: Command, cli: Cli): void {
  const counts = program.command("counts").description("create, change, read, import and verify Counts");
  registerCountsCreate(counts, cli);
  registerCountsWrite(counts, cli);
  registerCountsGet(counts, cli);
  registerCountsList(counts, cli);
  registerCountsImport(counts, cli);
  registerCountsVerify(counts, cli);
  registerCountsDelete(counts, cli);
}
