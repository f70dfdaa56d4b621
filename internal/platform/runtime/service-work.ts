import type { DescMessage } from "@bufbuild/protobuf";
import { createInboxPruner } from "../events/inbox.ts";
import { createOutboxRelay } from "../events/outbox.ts";
import { retentionMsOf } from "../events/topics.ts";
import { createSequence, type Component } from "../lifecycle/component.ts";
import type { OutboxView } from "../service/outbox-view.ts";
import { partsOf } from "../service/parts.ts";
import type { AssembledService } from "./assemble-service.ts";
import { createLostRebuilder } from "./rebuild-lost.ts";
import type { Wiring } from "./wiring.ts";

/** What a service does beside its calls, while its stores are there. */
export interface ServiceWork extends Component {
  /** Resolves once its consumers take part, and those of every instance have handled what was stored before. */
  caughtUp(): Promise<void>;
  /** Outboxes: the database's, and the service's own. */
  readonly outboxes: readonly OutboxView[];
}

/** Makes the work of a service: first what moves its events, then its consumers, its background work, and rebuilding. */
export function createServiceWork(assembled: AssembledService, wiring: Wiring): ServiceWork {
  const { info, stores, parts } = assembled;
  const { broker, leases, clock, random, metrics } = wiring;
  const log = wiring.log.child({ service: info.name });
  const { deadLetters, consumerGroups } = broker;
  const common = { service: info.name, leases, clock, log };
  const { database } = stores;
  const relays =
    database === undefined || info.publishes.length === 0
      ? []
      : [createOutboxRelay({ ...common, broker, database, random, metrics })];
  const pruners =
    database === undefined || info.consumes.length === 0
      ? []
      : [
          createInboxPruner({
            ...common,
            database,
            deadLetters,
            retentionMs: Math.max(...info.consumes.map(({ schema }) => retentionMsOf(schema))),
          }),
        ];
  const topicsOfSchemas = (schemas: readonly DescMessage[]): readonly string[] => [
    ...new Set(
      info.consumes
        .filter(({ schema }) => schemas.includes(schema))
        .flatMap((consumption) => wiring.consumedTopics(consumption)),
    ),
  ];
  const consumers = assembled.subscriptions.map((subscription) => broker.subscribe(subscription));
  const sequence = createSequence(`work of ${info.name}`, [
    ...relays,
    ...pruners,
    ...consumers,
    ...partsOf(parts, "background").map(({ component }) => component),
    ...partsOf(parts, "rebuilder").flatMap((rebuilder) =>
      topicsOfSchemas(rebuilder.schemas).map((topic) =>
        createLostRebuilder({ ...common, topic, consumerGroups, rebuilder }),
      ),
    ),
  ]);
  return {
    ...sequence,
    caughtUp: async () => void (await Promise.all(consumers.map(({ caughtUp }) => caughtUp))),
    outboxes: [...relays, ...partsOf(parts, "outbox")],
  };
}
