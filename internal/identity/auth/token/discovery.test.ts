import { expect, test } from "bun:test";
import { createLocalJWKSet, decodeJwt, jwtVerify } from "jose";
import { AuthService } from "../../../gen/muin/identity/v1/auth_service_pb.ts";
import { partsOf } from "../../../platform/service/parts.ts";
import { startHttpServer } from "../../../platform/testing/http-server.ts";
import { outcomeOf, startAuth } from "../auth-fixture.ts";

const ada = { email: "ada@example.org", password: "correct horse battery" };

test("a verifier that begins with the issuer's address finds keys by which its tokens hold", async () => {
  const issuer = "https://id.example.org";
  await using auth = await startAuth({ config: { issuer } });
  const client = auth.as(AuthService);
  const { tokens } = await auth.signUp(ada);
  const token = tokens?.accessToken ?? "";
  // As OpenID Connect Discovery 1.0, section 4.3 demands: the same issuer asked, told and in the token.
  const document = await client.getOpenIdConfiguration({});
  expect([document.issuer, decodeJwt(token).iss]).toEqual([issuer, issuer]);
  expect(document.jwksUri).toBe(`${issuer}/.well-known/jwks.json`);
  const { keys } = await client.listKeys({});
  const key = createLocalJWKSet({
    keys: keys.map(({ kty, crv, x, kid, alg, use }) => ({ kty, crv, x, kid, alg, use })),
  });
  const currentDate = new Date(auth.clock.now());
  const { payload } = await jwtVerify(token, key, { issuer: document.issuer, audience: "muin", currentDate });
  expect(payload.sub).toBe(decodeJwt(token).sub);
});

test.each([
  ["https://id.example.org/", "https://id.example.org/.well-known/jwks.json"],
  ["https://example.org/muin", "https://example.org/muin/.well-known/jwks.json"],
  ["http://127.0.0.1:8080", "http://127.0.0.1:8080/.well-known/jwks.json"],
  ["http://localhost:8080", "http://localhost:8080/.well-known/jwks.json"],
])("of the issuer %s the keys are at %s", async (issuer, jwksUri) => {
  await using auth = await startAuth({ config: { issuer } });
  expect(await auth.as(AuthService).getOpenIdConfiguration({})).toMatchObject({ issuer, jwksUri });
});

test.each([
  "muin",
  "https:id.example.org",
  "https://id.example.org\\x",
  "http://2130706433",
  "http://id.example.org",
  "https://id.example.org?x",
  "https://id.example.org#x",
  "ftp://x",
])("the issuer %s has no document: none would be true for a verifier", async (issuer) => {
  await using auth = await startAuth({ config: { issuer } });
  expect(await outcomeOf(auth.as(AuthService).getOpenIdConfiguration({}))).toBe("NotFound ISSUER_NOT_AN_ADDRESS");
});

/** Statuses of the keys and of the document of an issuer, and how long they may be kept. */
async function kept(issuer: string) {
  await using auth = await startAuth({ config: { issuer } });
  await using server = await startHttpServer(partsOf(auth.parts, "served"), { clock: auth.clock });
  const paths = ["/.well-known/jwks.json", "/.well-known/openid-configuration"];
  const replies = await Promise.all(paths.map((path) => fetch(server.url + path)));
  return replies.map(({ status, headers }) => [status, headers.get("cache-control")]);
}

test("keys and discovery may be kept for 5 minutes, and a refusal not at all", async () => {
  const fiveMinutes = [200, "public, max-age=300"];
  expect(await kept("https://id.example.org")).toEqual([fiveMinutes, fiveMinutes]);
  expect(await kept("muin")).toEqual([fiveMinutes, [404, null]]);
});
