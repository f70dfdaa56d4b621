import { createInboxPruner } from "../events/inbox.ts";
import { createOutboxRelay } from "../events/outbox.ts";
import { republishRequest } from "../events/republish-request.ts";
import { isState, retentionMsOf, topicOf } from "../events/topics.ts";
import { createSequence, type Component } from "../lifecycle/component.ts";
import type { OutboxView } from "../service/outbox-view.ts";
import { partsOf } from "../service/parts.ts";
import type { AssembledService } from "./assemble-service.ts";
import { createLostRebuilder, type RebuiltTopic } from "./rebuild-lost.ts";
import { republishSubscriptions } from "./republish-requests.ts";
import type { Wiring } from "./wiring.ts";

/** What a service does beside its calls, while its stores are there. */
export interface ServiceWork extends Component {
  /** Of a service that stands alone: its background work, which waits for nothing. Of any other it is part of the work. */
  readonly alone: Component;
  /** Resolves once its consumers take part, and those of every instance have handled what was stored before. */
  caughtUp(): Promise<void>;
  /** Outboxes: the database's, and the service's own. */
  readonly outboxes: readonly OutboxView[];
  /** Rebuilds what it made of a topic that it consumes as a group, LOST or not. Returns the new inbox generation; `undefined` for any other. */
  rebuild(topic: string): Promise<number | undefined>;
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
  const requests = republishSubscriptions({
    ...common,
    askers: wiring.askers(info),
    republishers: partsOf(parts, "republisher").map(({ schemas, republish }) => ({
      topic: topicOf(schemas[0], info.name),
      republish,
    })),
  });
  const consumers = [...assembled.subscriptions, ...requests].map((subscription) => broker.subscribe(subscription));
  const rebuilt = rebuiltTopics(assembled, wiring);
  const rebuilder = createLostRebuilder({ ...common, topics: rebuilt, ask: askFor(info.name, wiring), consumerGroups });
  const background = partsOf(parts, "background").map(({ component }) => component);
  const sequence = createSequence(`work of ${info.name}`, [
    ...relays,
    ...pruners,
    ...consumers,
    ...(info.standsAlone ? [] : background),
    ...(rebuilt.length === 0 ? [] : [rebuilder]),
  ]);
  return {
    ...sequence,
    alone: createSequence(`background of ${info.name}`, info.standsAlone ? background : []),
    caughtUp: async () => void (await Promise.all(consumers.map(({ caughtUp }) => caughtUp))),
    outboxes: [...relays, ...partsOf(parts, "outbox")],
    rebuild: async (topic) => {
      const found = rebuilt.find((one) => one.topic === topic);
      return found === undefined ? undefined : rebuilder.rebuild(found);
    },
  };
}

/** The topics that a service consumes as a group, and how it makes good what it missed of each. */
function rebuiltTopics({ info, parts }: AssembledService, { consumedTopics }: Wiring): readonly RebuiltTopic[] {
  const topics = new Map<string, RebuiltTopic>();
  for (const consumption of info.consumes) {
    if (consumption.kind !== "group") continue;
    const { schema } = consumption;
    const own = partsOf(parts, "rebuilder").find(({ schemas }) => schemas.includes(schema));
    for (const topic of consumedTopics(consumption)) {
      const known = topics.get(topic);
      topics.set(topic, {
        topic,
        isState: isState(schema) || known?.isState === true,
        rebuild: own?.rebuild ?? known?.rebuild,
      });
    }
  }
  return [...topics.values()];
}

/** Asks, in the name of a service, for the state of a topic again. */
function askFor(service: string, { broker, clock, random }: Wiring) {
  return async (topic: string, sinceMs: number | undefined): Promise<void> => {
    await broker.publish([republishRequest(service, topic, sinceMs, { clock, random })]);
  };
}
