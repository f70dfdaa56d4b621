import type { Database, Transaction } from "../../../platform/postgres/database.ts";
import { republishAll } from "../../../platform/resource/republish.ts";
import type { CountRecord, Operation } from "./record.ts";
import type { InfoStore } from "./store.ts";

/** Counts that are announced again in one transaction. */
const pageSize = 500;

/** Announces all Counts again as they are. Returns how many. */
export function republishInfos(deps: {
  readonly database: Pick<Database, "transaction">;
  readonly infos: Pick<InfoStore, "lockSettled">;
  /** Records an event that says what an operation made of the Count. */
  readonly announce: (tx: Transaction, operation: Operation, record: CountRecord) => Promise<void>;
}): Promise<number> {
  const { database, infos, announce } = deps;
  return republishAll((after) =>
    database.transaction(async (tx) => {
      // Locked, so that what is announced is the newest; a Count on its way to another state announces itself.
      const records = await infos.lockSettled(tx, after, pageSize);
      for (const record of records) await announce(tx, record.state === "DELETED" ? "DELETE" : "UPDATE", record);
      return { last: records.at(-1)?.countId ?? "", recorded: records.length };
    }),
  );
}
