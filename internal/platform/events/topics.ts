import { type DescMessage, getOption, hasOption, type MessageShape, toBinary } from "@bufbuild/protobuf";
import { event as eventOption, EventNature } from "../../gen/muin/platform/v1/options_pb.ts";
import type { Clock } from "../clock/clock.ts";
import type { Random } from "../clock/random.ts";
import type { EventRecord } from "../service/event-record.ts";

/** Kept so long where the proto says nothing. */
const retentionHoursDefault = 168;
const hourMs = 3_600_000;

/** Where events travel. */
export interface Topic {
  readonly name: string;
  /** Events older than this may be removed. */
  readonly retentionMs: number;
}

/** Stands in a topic for the name of the service that publishes the event. */
const servicePlaceholder = "{service}";

interface EventKind {
  /** Its name may hold the placeholder. */
  readonly topic: Topic;
  readonly isState: boolean;
  /** Name of the message's field, as TypeScript knows it. */
  readonly subjectField: string;
}

const kinds = new WeakMap<DescMessage, EventKind>(); // Reading an option costs microseconds each time.

/**
 * The topic of an event message that `publisher`, a service, publishes. Throws for a message that is no event, and without `publisher`
 * for one that travels on a topic of each service.
 */
export function topicOf(schema: DescMessage, publisher?: string): string {
  const { name } = kindOf(schema).topic;
  if (!name.includes(servicePlaceholder)) return name;
  if (publisher === undefined) throw new Error(`${schema.typeName} has a topic of each service that publishes it`);
  return name.replace(servicePlaceholder, publisher);
}

/** The topics on which an event message of any of the `publishers`, services, travels. */
export function topicsFrom(schema: DescMessage, publishers: readonly string[]): readonly string[] {
  const { name } = kindOf(schema).topic;
  return name.includes(servicePlaceholder) ? publishers.map((publisher) => topicOf(schema, publisher)) : [name];
}

/** Whether a message may travel on `topic`: where each service has one of its own, the message must name that service. */
export function isOnOwnTopic<M extends DescMessage>(schema: M, message: MessageShape<M>, topic: string): boolean {
  if (!kindOf(schema).topic.name.includes(servicePlaceholder)) return topicOf(schema) === topic;
  const { service } = message as unknown as { readonly service?: unknown };
  return typeof service !== "string" || topicOf(schema, service) === topic;
}

/** Whether an event tells what something is now, which its owner can tell again. */
export function isState(schema: DescMessage): boolean {
  return kindOf(schema).isState;
}

/** How long the topic of an event message keeps it at least, in milliseconds. */
export function retentionMsOf(schema: DescMessage): number {
  return kindOf(schema).topic.retentionMs;
}

/** The ordering key of an event. Throws for a message that is no event, and when the key is empty. */
export function subjectOf<M extends DescMessage>(schema: M, message: MessageShape<M>): string {
  const { subjectField } = kindOf(schema);
  const subject = (message as unknown as Readonly<Record<string, unknown>>)[subjectField];
  if (typeof subject !== "string" || subject === "") throw new Error(`${schema.typeName} has no ${subjectField}`);
  return subject;
}

/** The topics of event messages that `publisher` publishes, each once, by name. Of several retentions the longest counts. */
export function topicsOf(schemas: readonly DescMessage[], publisher?: string): readonly Topic[] {
  const topics = new Map<string, Topic>();
  for (const schema of schemas) {
    const topic = { name: topicOf(schema, publisher), retentionMs: retentionMsOf(schema) };
    const known = topics.get(topic.name);
    if (known === undefined || known.retentionMs < topic.retentionMs) topics.set(topic.name, topic);
  }
  return [...topics.values()].toSorted((a, b) => (a.name < b.name ? -1 : 1));
}

/** What an event gets beside its message. */
export interface RecordContext {
  /** CloudEvents source: "/muin/" and the service that publishes, such as "/muin/auth". */
  readonly source: string;
  readonly clock: Clock;
  readonly random: Random;
  /** W3C trace context of the change; empty without one. */
  readonly traceparent: string;
}

/** A message as it travels, with a new id that grows with time. */
export function createRecord<M extends DescMessage>(
  schema: M,
  message: MessageShape<M>,
  context: RecordContext,
): EventRecord {
  return {
    id: context.random.uuid(),
    source: context.source,
    type: schema.typeName,
    subject: subjectOf(schema, message),
    topic: topicOf(schema, publisherOf(context.source)),
    timeMs: context.clock.now(),
    epoch: 0, // An outbox gives it that of its database.
    traceparent: context.traceparent,
    data: toBinary(schema, message),
  };
}

function publisherOf(source: string): string | undefined {
  return /^\/muin\/([a-z][a-z0-9-]*)$/.exec(source)?.[1];
}

function kindOf(schema: DescMessage): EventKind {
  const known = kinds.get(schema);
  if (known !== undefined) return known;
  if (!hasOption(schema, eventOption)) throw new Error(`${schema.typeName} is no event: it has no option (event)`);
  const option = getOption(schema, eventOption);
  const field = schema.fields.find(({ name }) => name === option.subject);
  if (option.topic === "" || field === undefined) throw new Error(`${schema.typeName}: topic or subject is missing`);
  if (option.nature === EventNature.UNSPECIFIED) throw new Error(`${schema.typeName} says neither state nor fact`);
  const hours = option.retentionHours === 0 ? retentionHoursDefault : option.retentionHours;
  const kind = {
    topic: { name: option.topic, retentionMs: hours * hourMs },
    isState: option.nature === EventNature.STATE,
    subjectField: field.localName,
  };
  kinds.set(schema, kind);
  return kind;
}
