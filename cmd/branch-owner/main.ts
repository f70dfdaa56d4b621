import { branchOwner } from "../../internal/identity/branch-owner/definition.ts";
import { runService } from "../../internal/platform/app/run-service.ts";

await runService(branchOwner);
