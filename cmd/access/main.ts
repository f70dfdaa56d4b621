import { catalog } from "../../internal/catalog.ts";
import { access } from "../../internal/face/access/definition.ts";
import { runService } from "../../internal/platform/runtime/run-service.ts";

await runService(access, catalog);
