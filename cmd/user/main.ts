import { catalog } from "../../internal/catalog.ts";
import { user } from "../../internal/identity/user/definition.ts";
import { runService } from "../../internal/platform/runtime/run-service.ts";

await runService(user, catalog);
