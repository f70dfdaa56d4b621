import { isMessage } from "@bufbuild/protobuf";
import { expect, test } from "bun:test";
import { AccountService } from "../../../gen/muin/identity/v1/account_service_pb.ts";
import { UserCreatedSchema } from "../../../gen/muin/identity/v1/user_events_pb.ts";
import { outcomeOf, service, startAuth } from "../auth-fixture.ts";

const ada = { email: "ada@example.org", password: "correct horse battery", displayName: "Ada" };

test("another service has every account announced again, page by page", async () => {
  await using auth = await startAuth();
  const { userId } = await auth.signUp(ada);
  await auth.database.sql`
    INSERT INTO accounts SELECT gen_random_uuid(), n || '@example.org', '', '', 1, now(), now() FROM generate_series(1, 450) n`;
  const accounts = auth.as(AccountService, { caller: service });
  let republished = 0;
  let pages = 0;
  for (let pageToken = ""; ; pages++) {
    const page = await accounts.republishAccounts({ pageToken });
    republished += page.republished;
    pageToken = page.nextPageToken;
    if (pageToken === "") break;
  }
  expect([pages, republished]).toEqual([3, 1]); // The others have no key.
  const created = (await auth.events()).filter((event) => isMessage(event, UserCreatedSchema));
  expect(created.map(({ userId, aggregateVersion }) => `${userId} ${aggregateVersion}`)).toEqual([
    `${userId} 1`,
    `${userId} 1`,
  ]);
  expect(await outcomeOf(accounts.republishAccounts({ pageToken: "x" }))).toStartWith("InvalidArgument");
});
