import { isMessage } from "@bufbuild/protobuf";
import { expect, test } from "bun:test";
import { UserCreatedSchema } from "../../../gen/muin/identity/v1/user_events_pb.ts";
import { partsOf } from "../../../platform/service/parts.ts";
import { startAuth } from "../auth-fixture.ts";

const ada = { email: "ada@example.org", password: "correct horse battery", displayName: "Ada" };

test("every account is announced again at its version, page by page", async () => {
  await using auth = await startAuth();
  const { userId } = await auth.signUp(ada);
  await auth.database.sql`
    INSERT INTO accounts SELECT gen_random_uuid(), n || '@example.org', '', '', 1, now(), now() FROM generate_series(1, 450) n`;
  const [republisher] = partsOf(auth.parts, "republisher");
  expect(await republisher?.republish()).toBe(1); // The others have no key.
  const created = (await auth.events()).filter((event) => isMessage(event, UserCreatedSchema));
  expect(created.map((event) => `${event.userId} ${event.aggregateVersion}`)).toEqual([`${userId} 1`, `${userId} 1`]);
});
