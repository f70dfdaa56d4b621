import { catalog } from "../../internal/catalog.ts";
import { auth } from "../../internal/identity/auth/definition.ts";
import { runService } from "../../internal/platform/runtime/run-service.ts";

await runService(auth, catalog);
