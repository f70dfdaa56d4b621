import { countManagement } from "./count/management/definition.ts";
import { countRead } from "./count/read/definition.ts";
import { countWrite } from "./count/write/definition.ts";
import { access } from "./face/access/definition.ts";
import { mlops } from "./face/mlops/definition.ts";
import { auth } from "./identity/auth/definition.ts";
import { branchOwner } from "./identity/branch-owner/definition.ts";
import { user } from "./identity/user/definition.ts";
import type { ServiceInfo } from "./platform/service/define-service.ts";

/** Every service of Muin. What the outside knows of them is derived from this list. */
export const catalog: readonly ServiceInfo[] = [
  auth,
  user,
  branchOwner,
  countManagement,
  countWrite,
  countRead,
  mlops,
  access,
];
