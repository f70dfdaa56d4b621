import { user } from "../../internal/identity/user/definition.ts";
import { runService } from "../../internal/platform/app/run-service.ts";

await runService(user);
