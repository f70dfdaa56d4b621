import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { AuthService } from "../../internal/gen/muin/identity/v1/auth_service_pb.ts";
import { UserService } from "../../internal/gen/muin/identity/v1/user_service_pb.ts";
import { eventually } from "../../internal/platform/testing/eventually.ts";
import { startMuin, type TestMuin } from "../../internal/platform/testing/muin.ts";

setDefaultTimeout(60_000);

let muin: TestMuin;
beforeAll(async () => {
  muin = await startMuin();
});
afterAll(() => muin[Symbol.asyncDispose]());

test("who signs up has a profile in a moment", async () => {
  const { userId, tokens } = await muin
    .client(AuthService)
    .signUp({ email: "ada@example.org", password: "correct horse battery", displayName: "Ada" });
  const users = muin.client(UserService, tokens?.accessToken);
  const seen = await eventually(() => users.getUser({ userId: "me" }));
  expect(seen.user).toMatchObject({ userId, email: "ada@example.org", displayName: "Ada" });
});
