import { serveChild, type Served } from "../harness/child.ts";
import type { Outcome } from "./attack-kit.ts";
import { addressesOf, rows } from "./rows.ts";

/** What this process is told on its command line. */
export interface AttackersOptions {
  readonly httpPort: number;
  readonly grpcPort: number;
}

/** What is to be played: these rows at the same time. */
export interface Play {
  readonly ids: readonly string[];
  readonly whole: boolean;
  /** An attack that would go on ends after so long. */
  readonly lastingMs: number;
}

/** Attackers, in a process of their own: neither the known callers nor Muin wait for them. */
async function openAttackers(ports: AttackersOptions): Promise<Served<Play, readonly Outcome[]>> {
  return {
    greeting: "",
    answer: ({ ids, whole, lastingMs }) => {
      const size = { whole, untilMs: performance.now() + lastingMs };
      const wanted = rows.filter(({ id }) => ids.includes(id));
      return Promise.all(wanted.map((row) => row.run({ ...ports, from: addressesOf(row) }, size)));
    },
    close: async () => {},
  };
}

await serveChild(openAttackers);
