import { countWrite } from "../../internal/count/write/definition.ts";
import { runService } from "../../internal/platform/app/run-service.ts";

await runService(countWrite);
