import { create, type DescMessage, type MessageInitShape } from "@bufbuild/protobuf";
import type { Clock } from "../clock/clock.ts";
import type { Random } from "../clock/random.ts";
import { FencedError, type Leases, type LeaseTerm } from "../lease/leases.ts";
import { createBell } from "../lifecycle/bell.ts";
import { type Component, createSequence } from "../lifecycle/component.ts";
import { createLoop } from "../lifecycle/loop.ts";
import { retry } from "../lifecycle/retry.ts";
import type { Database, Transaction } from "../postgres/database.ts";
import type { Publish } from "../service/delivery.ts";
import type { EventPublisher, EventRecord } from "../service/event-record.ts";
import type { OutboxView } from "../service/outbox-view.ts";
import type { Logger } from "../telemetry/logger.ts";
import type { Metrics } from "../telemetry/metrics.ts";
import { eventBytesMax } from "./broker.ts";
import { eventErrors } from "./errors.ts";
import { movePage } from "./move-page.ts";
import { channelName, createOutboxView, retryParked } from "./outbox-table.ts";
import { createRecord } from "./topics.ts";

/** The relay looks so often when nobody woke it: a notification can be lost with its connection. */
const pollMs = 1000;
/** Pause after a failure, doubled with each further one. */
const failureBackoff = { minMs: 100, maxMs: 5000 };
/** Depth and age are measured so often. */
const sampleMs = 2000;
/** Parked rows are looked at so often, whether one of them is due to be tried again. */
const retryParkedEveryMs = 1000;

/**
 * Records events in the transaction of their changes. Call it after the statement that locked the aggregates' rows (an update, an
 * insert of a new key, `SELECT … FOR UPDATE`): then the rows' sequence grows, per aggregate, in the order of the commits, since
 * the next writer can take its own only after this transaction has ended.
 */
async function recordEvents(tx: Transaction, events: readonly EventRecord[]): Promise<void> {
  if (events.some(({ data }) => data.byteLength > eventBytesMax)) {
    throw eventErrors.eventTooLarge({ bytes_max: String(eventBytesMax) });
  }
  const [event] = events;
  if (event === undefined) return;
  if (events.length === 1) {
    await tx`
      INSERT INTO platform.outbox (event_id, source, type, subject, topic, time_ms, epoch, traceparent, data)
      VALUES (${event.id}, ${event.source}, ${event.type}, ${event.subject}, ${event.topic}, ${event.timeMs},
        (SELECT epoch FROM platform.epoch), ${event.traceparent}, ${event.data})`;
    return;
  }
  const texts = (of: (event: EventRecord) => string): readonly string[] => events.map(of);
  await tx`
    INSERT INTO platform.outbox (event_id, source, type, subject, topic, time_ms, epoch, traceparent, data)
    SELECT event_id, source, type, subject, topic, time_ms, (SELECT epoch FROM platform.epoch), traceparent,
      decode(data, 'hex')
    FROM unnest(${texts(({ id }) => id)}::text[], ${texts(({ source }) => source)}::text[],
        ${texts(({ type }) => type)}::text[], ${texts(({ subject }) => subject)}::text[],
        ${texts(({ topic }) => topic)}::text[], ${events.map(({ timeMs }) => timeMs)}::bigint[],
        ${texts(({ traceparent }) => traceparent)}::text[], ${texts(({ data }) => data.toHex())}::text[])
      WITH ORDINALITY
      AS made (event_id, source, type, subject, topic, time_ms, traceparent, data, place)
    ORDER BY place`;
}

/** Creates what a service publishes with; `currentTraceparent` gives the trace of the call under way, or "". */
export function createPublish<const P extends readonly DescMessage[]>(options: {
  readonly source: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly currentTraceparent: () => string;
}): Publish<P> {
  const { currentTraceparent, ...context } = options;
  const make = <D extends P[number]>(schema: D, message: MessageInitShape<D>): EventRecord =>
    createRecord(schema, create(schema, message), { ...context, traceparent: currentTraceparent() });
  const publish = async <D extends P[number]>(
    tx: Transaction,
    schema: D,
    message: MessageInitShape<D>,
  ): Promise<void> => recordEvents(tx, [make(schema, message)]);
  return Object.assign(publish, { make, record: recordEvents });
}

/** The relay of one database, with the view of its outbox. */
export interface OutboxRelay extends Component, OutboxView {}

interface OutboxRelayOptions {
  /** Service that owns the database. */
  readonly service: string;
  readonly database: Database;
  readonly broker: EventPublisher;
  readonly leases: Pick<Leases, "leaseholder">;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly metrics: Metrics;
}

/**
 * Moves recorded events to the bus, in order per subject, in at most one process at a time. Deletes what the bus acknowledged,
 * so an event is published at least once, repeats with the same id. A row that the bus refuses for itself holds up its topic and subject
 * only: see `movePage`. It is tried again a few times by itself, and after that when an operator asks for it.
 *
 * A row of a late commit cannot be skipped: there is no position to fall behind. Each round selects the rows that are there,
 * lowest sequence first, and deletes by sequence just those that were acknowledged. A row whose transaction took its sequence
 * early and committed late is simply found by a later round. It may then follow rows of higher sequences, of other subjects
 * only: of its own subject there can be none, see `recordEvent`.
 */
export function createOutboxRelay(options: OutboxRelayOptions): OutboxRelay {
  const { service, database, leases, clock, random, log, metrics } = options;
  const view = createOutboxView(database, clock);
  const failures = metrics.counter({
    name: "outbox_failures_total",
    help: "Pages that could not be moved to the bus and were tried again.",
    labels: ["service"],
  });

  const relay = async (term: LeaseTerm, signal: AbortSignal): Promise<void> => {
    const bell = createBell();
    // Without notifications, since the database is away just now, looking now and then still finds every row.
    const listening = database.listen(channelName, bell.ring, bell.ring).catch(() => undefined);
    let lookedAtParked = Number.NEGATIVE_INFINITY;
    const move = async (): Promise<boolean> => {
      bell.reset(); // Before the look, so that a row recorded during it rings again.
      if (clock.monotonic() - lookedAtParked >= retryParkedEveryMs) {
        await retryParked(database, clock.now());
        lookedAtParked = clock.monotonic();
      }
      return movePage(options, term);
    };
    try {
      while (!signal.aborted) {
        const isMore = await retry(move, {
          clock,
          random,
          ...failureBackoff,
          isRetryable: (error) => !(error instanceof FencedError),
          onPause: (error, failed) => {
            failures.add(1, { service });
            log.warn("events wait in the outbox: the bus or the database failed", { failed, err: error });
          },
          signal,
        });
        if (!isMore) await bell.wait(clock, pollMs, signal);
      }
    } catch (error) {
      if (!(error instanceof FencedError) && !signal.aborted) throw error;
    } finally {
      await (await listening)?.unlisten().catch(() => undefined); // The connection is gone, and the listening with it.
    }
  };

  const parts = createSequence(`outbox of ${service}`, [
    createSampler(options, view),
    leases.leaseholder(`${service}:outbox`, relay),
  ]);
  return { ...parts, ...view };
}

/** Measures an outbox in every instance, lease or not: one that nobody empties must be seen. */
function createSampler({ service, clock, metrics }: OutboxRelayOptions, view: Pick<OutboxView, "read">): Component {
  const depthGauge = metrics.gauge({
    name: "outbox_depth",
    help: "Events recorded and not yet on the bus.",
    labels: ["service"],
  });
  const ageGauge = metrics.gauge({
    name: "outbox_age_seconds",
    help: "Age of the oldest event not yet on the bus.",
    labels: ["service"],
  });
  const parkedGauge = metrics.gauge({
    name: "outbox_parked",
    help: "Events that the bus refused, and those of their keys that wait behind them.",
    labels: ["service"],
  });
  return createLoop({
    name: `outbox sampler of ${service}`,
    clock,
    everyMs: sampleMs,
    work: async () => {
      const { depth, ageMs, parked } = await view.read();
      depthGauge.set(depth, { service });
      ageGauge.set(ageMs / 1000, { service });
      parkedGauge.set(parked, { service });
    },
    onFailure: () => undefined, // The database is away; its own probe says so.
  });
}
