import { startMlops } from "../mlops-fixture.ts";
import { describeReceiptKeyStore } from "./store.contract.ts";
import { postgresReceiptKeyStore } from "./store-postgres.ts";

describeReceiptKeyStore("PostgreSQL", async () => {
  const { database, [Symbol.asyncDispose]: end } = await startMlops();
  return { database, receiptKeys: postgresReceiptKeyStore, [Symbol.asyncDispose]: end };
});
