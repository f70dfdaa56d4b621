import { countManagement } from "../../internal/count/management/definition.ts";
import { runService } from "../../internal/platform/app/run-service.ts";

await runService(countManagement);
