/** What an operator is told of a server whose certificate the client refuses, by the code of the connection's failure; else `undefined`. */
export function untrusted(code: unknown): string | undefined {
  if (typeof code !== "string" || !/CERT|SIGNATURE/.test(code)) return undefined;
  return `shows a certificate that is not trusted (${code}): MUIN_CA_FILE names the file of its issuer`;
}
