import { countRead } from "../../internal/count/read/definition.ts";
import { runService } from "../../internal/platform/app/run-service.ts";

await runService(countRead);
