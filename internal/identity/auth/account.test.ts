import { describe, expect, test } from "bun:test";
import { AuthService, outcomeOf, personOfToken, startAuth } from "./auth-fixture.ts";

const ada = { email: "ada@example.org", password: "correct horse battery", displayName: "Ada" };

describe("accounts", () => {
  test("sign up, sign in, refresh", async () => {
    await using auth = await startAuth();
    const client = auth.as(AuthService);
    const { userId, tokens } = await client.signUp(ada);
    expect(await outcomeOf(client.signUp({ ...ada, email: " ADA@Example.ORG" }))).toBe("AlreadyExists EMAIL_TAKEN");
    const signedIn = await client.signIn(ada);
    expect(signedIn.userId).toBe(userId);
    expect(await outcomeOf(client.signIn({ ...ada, password: "wrong horse" }))).toBe("Unauthenticated BAD_CREDENTIALS");
    const refreshed = await client.refreshToken({ refreshToken: tokens!.refreshToken });
    expect(refreshed.tokens!.refreshToken).not.toBe(tokens!.refreshToken);
    console.log(personOfToken(tokens!.accessToken), await auth.events());
  });
});
