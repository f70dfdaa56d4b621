import { catalog } from "../../internal/catalog.ts";
import { countWrite } from "../../internal/count/write/definition.ts";
import { runService } from "../../internal/platform/runtime/run-service.ts";

await runService(countWrite, catalog);
