/** Setting of a declared store's URL in a process of one service, such as STORE_DATABASE_URL. */
export function storeSetting(store: string): string {
  return `STORE_${store.toUpperCase()}_URL`;
}

/** Setting of a declared folder's path in a process of one service, such as STORE_QUEUE_PATH. */
export function folderSetting(store: string): string {
  return `STORE_${store.toUpperCase()}_PATH`;
}

/** Setting of a declared database's URL with the role that owns its schema, such as STORE_DATABASE_SCHEMA_URL. */
export function schemaSetting(store: string): string {
  return `STORE_${store.toUpperCase()}_SCHEMA_URL`;
}

/** Setting of another way to the process of a service: SERVICE_BRANCH_OWNER_URL for "branch-owner". */
export function serviceSetting(service: string): string {
  return `SERVICE_${service.replaceAll("-", "_").toUpperCase()}_URL`;
}

/** Setting of another way to an RPC service than the router: CALL_API_KEY_URL for "muin.identity.v1.ApiKeyService". */
export function callSetting(rpcService: string): string {
  const name = rpcService.slice(rpcService.lastIndexOf(".") + 1).replace(/Service$/, "");
  return `CALL_${name.replaceAll(/(?<=[a-z])(?=[A-Z])/g, "_").toUpperCase()}_URL`;
}
