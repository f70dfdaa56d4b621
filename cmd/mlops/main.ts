import { catalog } from "../../internal/catalog.ts";
import { mlops } from "../../internal/face/mlops/definition.ts";
import { runService } from "../../internal/platform/runtime/run-service.ts";

await runService(mlops, catalog);
