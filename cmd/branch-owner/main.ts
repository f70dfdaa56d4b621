import { catalog } from "../../internal/catalog.ts";
import { branchOwner } from "../../internal/identity/branch-owner/definition.ts";
import { runService } from "../../internal/platform/runtime/run-service.ts";

await runService(branchOwner, catalog);
