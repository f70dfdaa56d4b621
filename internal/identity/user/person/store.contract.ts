import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Database } from "../../../platform/postgres/database.ts";
import { newcomer, revised, type Person } from "./person.ts";
import type { PersonQuery, PersonStore } from "./store.ts";

/** A store of people to be tried, empty, and the database whose transactions it works in. */
export interface StartedPersonStore extends AsyncDisposable {
  readonly database: Pick<Database, "sql" | "transaction">;
  readonly people: PersonStore;
}

const createTimeMs = Date.parse("2026-03-01T10:00:00.123Z");
const nobody = "00000000-0000-4000-8000-00000000ffff";
const idOf = (n: number): string => `00000000-0000-4000-8000-${`${n}`.padStart(12, "0")}`;
const anybody: PersonQuery = { role: undefined, branchId: "", status: undefined, plan: "", email: "" };

/** What every store of people does. */
export function describePersonStore(name: string, start: () => Promise<StartedPersonStore>): void {
  describe(`a store of people: ${name}`, () => {
    let started: StartedPersonStore;
    let people: PersonStore;
    beforeAll(async () => {
      started = await start();
      ({ people } = started);
    });
    afterAll(() => started[Symbol.asyncDispose]());

    let last = 0;
    const add = async (account: { readonly email?: string; readonly roles?: readonly string[] } = {}) => {
      const userId = idOf(++last);
      const { email = `p${last}@example.org`, roles = ["member"] } = account;
      const person = newcomer({ userId, email, displayName: `Person ${last}` }, roles, createTimeMs);
      await started.database.transaction((tx) => people.add(tx, person, { epoch: 0, version: 1n }));
      return person;
    };
    const change = (person: Person, after: Partial<Person>): Promise<Person> =>
      started.database.transaction(async (tx) => {
        const before = await people.lock(tx, person.userId);
        if (before === undefined) throw new Error("nobody to change");
        const revision = revised(before, { ...before, ...after }, createTimeMs + 1000);
        await people.save(tx, revision);
        return revision;
      });

    const count = (userId: string): Promise<number> =>
      started.database.transaction((tx) => people.otherAdministrators(tx, userId));

    test("gives back what was added, and again what was saved", async () => {
      const person = await add({ roles: ["administrator", "helper"] });
      expect(await people.get(started.database.sql, person.userId)).toEqual(person);
      const full = await change(person, {
        email: "new@example.org",
        displayName: "Ada \u{1F469}",
        locale: "ko-KR",
        timeZone: "Asia/Seoul",
        phoneNumber: "+8210",
        pictureUri: "https://example.org/p.png",
        status: "SUSPENDED",
        suspendReason: "lost card",
        statusPrincipal: "api_key:k",
        roles: [
          { role: "HELPER", branchId: "b1" },
          { role: "HELPER", branchId: "b2" },
          { role: "MEMBER", branchId: "" },
        ],
        membership: { plan: "gold", fromTimeMs: createTimeMs, untilTimeMs: undefined, paused: true },
      });
      expect(await people.get(started.database.sql, person.userId)).toEqual(full);
      const bare = await change(full, { roles: [], membership: undefined });
      expect(await people.get(started.database.sql, person.userId)).toEqual(bare);
    });

    test("knows nobody by another id, or by a text that is none", async () => {
      for (const userId of [nobody, "", "me", "\0", nobody.toUpperCase()]) {
        expect(await people.get(started.database.sql, userId)).toBeUndefined();
        expect(await started.database.transaction((tx) => people.lock(tx, userId))).toBeUndefined();
        expect(await count(userId)).toBeNumber();
      }
      expect(await people.list(started.database.sql, anybody, "no id", 10)).toEqual([]);
    });

    test("adds nobody twice, and notes each version of an account once", async () => {
      const person = await add();
      const again = { ...person, email: "again@example.org" };
      expect(await started.database.transaction((tx) => people.add(tx, again, { epoch: 0, version: 9n }))).toBe(false);
      expect(await people.get(started.database.sql, person.userId)).toEqual(person);
      const advance = (version: bigint, epoch = 0): Promise<boolean> =>
        started.database.transaction((tx) => people.advanceAccount(tx, person.userId, { epoch, version }));
      expect([await advance(1n), await advance(3n), await advance(3n), await advance(2n)]).toEqual([
        false,
        true,
        false,
        false,
      ]);
    });

    test("lists by every condition, in pages, and deleted people only when asked for", async () => {
      const [a, b, c] = [await add(), await add(), await add()];
      const email = b.email;
      await change(a, { roles: [{ role: "HELPER", branchId: "list" }] });
      await change(b, { membership: { plan: "listed", fromTimeMs: undefined, untilTimeMs: 1, paused: false } });
      await change(c, { status: "SUSPENDED", roles: [{ role: "MEMBER", branchId: "list" }] });
      const ids = async (query: Partial<PersonQuery>, after = "", limit = 100): Promise<readonly string[]> =>
        (await people.list(started.database.sql, { ...anybody, ...query }, after, limit)).map(({ userId }) => userId);
      expect(await ids({ branchId: "list" })).toEqual([a.userId, c.userId]);
      expect(await ids({ branchId: "list", role: "MEMBER" })).toEqual([c.userId]);
      expect(await ids({ branchId: "list", status: "SUSPENDED" })).toEqual([c.userId]);
      expect(await ids({ plan: "listed" })).toEqual([b.userId]);
      expect(await ids({ email })).toEqual([b.userId]);
      expect(await ids({ email: "nobody@example.org" })).toEqual([]);
      expect(await ids({}, idOf(last - 3), 2)).toEqual([a.userId, b.userId]);
      expect(await people.ids(started.database.sql, idOf(last - 3), 2)).toEqual([a.userId, b.userId]);
      expect((await people.ids(started.database.sql, "", 1)).length).toBe(1);
    });

    test("of two who change a person at once, the second sees what the first did", async () => {
      const person = await add();
      await Promise.all(
        Array.from({ length: 8 }, (_, n) =>
          started.database.transaction(async (tx) => {
            const before = await people.lock(tx, person.userId);
            if (before === undefined) return;
            const role = { role: "MEMBER", branchId: `b${n}` } as const;
            await people.save(tx, revised(before, { ...before, roles: [...before.roles, role] }, createTimeMs));
          }),
        ),
      );
      expect(await people.get(started.database.sql, person.userId)).toMatchObject({ version: 9, roles: { length: 9 } });
      const locked = await started.database.transaction((tx) => people.lockAll(tx, [nobody, person.userId]));
      expect(locked.map(({ userId }) => userId)).toEqual([person.userId]);
    });

    test("counts active administrators, one asking after the other", async () => {
      const before = await count(nobody);
      const [one, two] = [await add({ roles: ["administrator"] }), await add({ roles: ["administrator"] })];
      expect([await count(nobody), await count(one.userId)]).toEqual([before + 2, before + 1]);
      await change(two, { status: "SUSPENDED" });
      expect(await count(one.userId)).toBe(before);
      const order: string[] = [];
      await Promise.all(
        [1, 2, 3].map((n) =>
          started.database.transaction(async (tx) => {
            await people.otherAdministrators(tx, one.userId);
            order.push(`${n} begins`);
            await people.get(started.database.sql, one.userId);
            order.push(`${n} ends`);
          }),
        ),
      );
      // Nobody begins between another's beginning and end.
      expect(order.filter((_, at) => at % 2 === 0).every((text) => text.endsWith("begins"))).toBe(true);
    });
  });
}
