import type { Clock } from "../../clock/clock.ts";
import type { Random } from "../../clock/random.ts";
import { openRedis } from "../../redis/open-redis.ts";
import type { Logger } from "../../telemetry/logger.ts";
import { FencedError, type OpenLeases } from "../leases.ts";
import type { Candidacy } from "./candidacy.ts";
import { leaseKey } from "./lease-key.ts";
import { createLeaseKeeper } from "./lease-keeper.ts";

/**
 * Opens the leases of the coordination Redis at `url`, `redis://user:password@host:port`. The server must keep what it acknowledged
 * (`appendfsync always`): one that forgot a lease's number could give it to two holders. `instance` names this process for operators
 * and need not be unique.
 */
export function openRedisLeases(
  url: string,
  options: { readonly instance: string; readonly clock: Clock; readonly random: Random; readonly log: Logger },
): OpenLeases {
  const { instance, clock, random, log } = options;
  const redis = openRedis({ url, name: `leases ${instance}`, clock, random, log });
  const { client } = redis;
  const keeper = createLeaseKeeper({ client, holder: `${instance} ${random.uuid()}`, clock, random, log });
  let stopped: Promise<void> | undefined;
  return {
    name: "leases",
    start: () => redis.start(),
    stop: () => (stopped ??= redis.stop().then(() => keeper.stop())),
    leaseholder: (lease, work) => {
      let candidacy: Candidacy | undefined;
      let ended: Promise<void> | undefined;
      return {
        name: `holder of ${lease}`,
        start: () => {
          if (ended !== undefined) return Promise.resolve();
          candidacy = keeper.seek({
            leaseKeys: [leaseKey(lease)],
            work: (_, { number, signal }) => work({ lease, number }, signal),
          });
          return Promise.resolve();
        },
        stop: () => (ended ??= candidacy?.stop() ?? Promise.resolve()),
      };
    },
    verify: async (term) => {
      const number = await client.hget(leaseKey(term.lease), "number");
      if (Number(number) !== term.number) throw new FencedError(term);
    },
  };
}
