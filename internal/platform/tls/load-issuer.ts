/** Loads what makes issuers and certificates: most starts need neither. What it stands on must be there before it in a binary too. */
export async function loadIssuer(): Promise<typeof import("./issuer.ts")> {
  await import("reflect-metadata");
  return import("./issuer.ts");
}
