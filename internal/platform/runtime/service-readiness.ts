import { awake, type Clock } from "../clock/clock.ts";
import { timeout } from "../lifecycle/timeout.ts";
import { partsOf } from "../service/parts.ts";
import type { StoreDecl } from "../service/stores.ts";
import type { AssembledService } from "./assemble-service.ts";

/** A service's own check of its readiness may take so long, in milliseconds. */
const checkMsMax = 1000;

/**
 * Why a service that is up cannot serve, named by the store or check that says so; `undefined` when it can. Asks the stores that it
 * cannot do without and its own checks, all at once; one that stands alone can do without any.
 */
export async function readinessOf(
  { info, stores, parts }: Pick<AssembledService, "info" | "stores" | "parts">,
  clock: Pick<Clock, "sleep" | "sleepAwake">,
): Promise<string | undefined> {
  const answers = await Promise.all([
    ...stores.all
      .filter(({ decl }) => !info.standsAlone && isEssential(decl))
      .map(async (store) => named(store.name, await store.probe())),
    ...partsOf(parts, "readiness").map(async ({ name, check }) =>
      named(name, await timeout(awake(clock), checkMsMax, check()).catch(() => "does not answer")),
    ),
  ]);
  return answers.find((answer) => answer !== undefined);
}

/** A cache, a replica and another service's views can be away: who uses them serves without, or says so per call. */
function isEssential(decl: StoreDecl): boolean {
  if (decl.kind === "redis") return decl.durability === "durable" && decl.role === "primary";
  return decl.access === "owner";
}

function named(name: string, problem: string | undefined): string | undefined {
  return problem === undefined ? undefined : `${name}: ${problem}`;
}
