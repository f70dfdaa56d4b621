import { catalog } from "../../internal/catalog.ts";
import { countRead } from "../../internal/count/read/definition.ts";
import { runService } from "../../internal/platform/runtime/run-service.ts";

await runService(countRead, catalog);
