import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Database } from "../../../platform/postgres/database.ts";
import type { ReceiptKeyStore } from "./store.ts";

/** A store of keys to be tried, empty, and its database. */
export interface StartedReceiptKeyStore extends AsyncDisposable {
  readonly database: Pick<Database, "sql">;
  readonly receiptKeys: ReceiptKeyStore;
}

const key = (keyId: string) => ({ keyId, publicKey: Buffer.from(`key ${keyId}`) });

/** What every store of keys of receipts does. */
export function describeReceiptKeyStore(name: string, start: () => Promise<StartedReceiptKeyStore>): void {
  describe(`a store of keys of receipts: ${name}`, () => {
    let started: StartedReceiptKeyStore;
    beforeAll(async () => {
      started = await start();
    });
    afterAll(() => started[Symbol.asyncDispose]());

    test("keeps each key once, the oldest first", async () => {
      const { database, receiptKeys } = started;
      expect(await receiptKeys.list(database.sql)).toEqual([]);
      await receiptKeys.add(database.sql, key("b"), 1000);
      await receiptKeys.add(database.sql, key("a"), 2000);
      await receiptKeys.add(database.sql, { ...key("a"), publicKey: Buffer.from("another") }, 500);
      expect(await receiptKeys.list(database.sql)).toEqual([key("b"), key("a")]);
    });
  });
}
