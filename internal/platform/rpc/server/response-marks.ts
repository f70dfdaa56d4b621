/** A year, the least that counts as lasting. */
const strictTransport = "max-age=31536000";

/** Tells browsers to take a reply for what it says it is, and, over TLS, to come without TLS no more. */
export function markForBrowsers(response: Response, isSecure: boolean): Response {
  response.headers.set("x-content-type-options", "nosniff");
  if (isSecure) response.headers.set("strict-transport-security", strictTransport);
  return response;
}
