import { expect, test } from "bun:test";
import { AuditService } from "../../../gen/muin/identity/v1/audit_service_pb.ts";
import { PersonKeyService } from "../../../gen/muin/identity/v1/person_key_service_pb.ts";
import type { Caller } from "../../../platform/identity/caller.ts";
import type { ServiceInfo } from "../../../platform/service/define-service.ts";
import { mutantOf, service, startAuth } from "../auth-fixture.ts";

const operator: Caller = { kind: "api_key", id: "k", principal: "api_key:k", scopes: new Set(["audit.read"]) };

/** Two people sign up, a service asks for their keys twice and for keys that are nobody's: what the log then says of it. */
async function recorded(definition?: ServiceInfo) {
  await using auth = await startAuth(definition === undefined ? {} : { definition });
  const people = [
    await auth.signUp({ email: "ada@example.org", password: "correct horse battery" }),
    await auth.signUp({ email: "eve@example.org", password: "correct horse battery" }),
  ];
  const personIds = people.map(({ userId }) => userId);
  const keys = auth.as(PersonKeyService, { caller: service, address: "192.0.2.7" });
  const { personKeys } = await keys.getPersonKeys({ personIds: [...personIds, personIds[0] ?? ""] });
  expect(personKeys.map(({ key }) => key.length)).toEqual([32, 32, 32]);
  await keys.getPersonKeys({ personIds: personIds.slice(1) });
  await keys.getPersonKeys({ personIds: [crypto.randomUUID(), "nobody"] });
  const { auditEvents } = await auth.as(AuditService, { caller: operator }).listAuditEvents({
    action: "HAND_OUT_PERSON_KEY",
  });
  return auditEvents
    .toReversed()
    .map(({ principal, subject, address, createTime }) => [
      principal,
      personIds.indexOf(subject.replace("person:", "")),
      address,
      Number(createTime?.seconds) === Math.floor(auth.clock.now() / 1000),
    ]);
}

const record = (person: number) => ["service:count-write", person, "192.0.2.7", true];

test("each hand-out of a person's key is recorded: who got whose, and when", async () => {
  const [first, second, third, ...more] = await recorded();
  expect([first, second].toSorted((a, b) => Number(a?.[1]) - Number(b?.[1]))).toEqual([record(0), record(1)]);
  expect([third, ...more]).toEqual([record(1)]);
});

test("mutant: keys that are only found leave no record", async () => {
  expect(await recorded(await mutantOf("person-key/handlers.ts", "personKeys.handOut(", "personKeys.find("))).toEqual(
    [],
  );
});
