import { catalog } from "../../internal/catalog.ts";
import { countManagement } from "../../internal/count/management/definition.ts";
import { runService } from "../../internal/platform/runtime/run-service.ts";

await runService(countManagement, catalog);
