import { auth } from "../../internal/identity/auth/definition.ts";
import { runService } from "../../internal/platform/app/run-service.ts";

await runService(auth);
