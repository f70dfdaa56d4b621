import { heartbeatLease } from "../events/heartbeat.ts";
import { keyPatterns } from "../events/redis/keys.ts";
import { noncePattern } from "../identity/nonces.ts";
import { leaseKey, leasePattern } from "../lease/redis/lease-key.ts";
import type { BusUse } from "./bus-topics.ts";
import { bareUser, type RedisRights } from "./store-rights.ts";

/** As of a writer of a store, but for functions and the forgetting of scripts: nobody may end or forget those of others. */
const busCommands =
  "+@read +@write +eval +evalsha +@transaction +@blocking +time -@dangerous -function -scan -randomkey -dbsize -flushall -flushdb -keys";

/**
 * The user of a process on the events server, which may also keep the leases. It writes the topics on which its services publish and
 * what is kept of their consumer groups, reads what they consume, and holds their leases. One selector for all, since one script call
 * touches several.
 */
export function eventsRights(user: string, { services, writes, reads }: BusUse): RedisRights {
  const written = [...writes.flatMap(keyPatterns.written), ...services.flatMap(keyPatterns.consumed)];
  const read = [...keyPatterns.common, ...reads.flatMap(keyPatterns.read)];
  const keys = [...written, ...coordinatedBy(services)].map((pattern) => `~${pattern}`);
  return {
    server: "events",
    user,
    rules: [...bareUser, `(${[...keys, ...read.map((pattern) => `%R~${pattern}`)].join(" ")} ${busCommands})`],
  };
}

/** The user of a process on a coordination server that keeps no events. */
export function coordinationRights(user: string, { services }: Pick<BusUse, "services">): RedisRights {
  const keys = coordinatedBy(services).map((pattern) => `~${pattern}`);
  return { server: "coordination", user, rules: [...bareUser, `(${keys.join(" ")} ${busCommands})`] };
}

/** Leases of the services and nonces of the calls to them, and the lease of the heartbeat, which any process may hold. */
function coordinatedBy(services: readonly string[]): readonly string[] {
  return [leaseKey(heartbeatLease), ...services.flatMap((service) => [leasePattern(service), noncePattern(service)])];
}
