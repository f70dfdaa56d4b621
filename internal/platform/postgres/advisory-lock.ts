import type { Transaction } from "./database.ts";

/** Waits until this transaction alone holds the lock of this name in its database, until its end. */
export async function takeLock(tx: Transaction, name: string): Promise<void> {
  await tx`SELECT pg_advisory_xact_lock(hashtext(${name}))`;
}

/** Takes the lock without waiting; false when another transaction holds it. */
export async function tryLock(tx: Transaction, name: string): Promise<boolean> {
  const [row] = await tx<{ held: boolean }[]>`SELECT pg_try_advisory_xact_lock(hashtext(${name})) AS held`;
  return row?.held === true;
}
