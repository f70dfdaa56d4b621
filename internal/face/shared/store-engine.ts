import type { Component } from "../../platform/lifecycle/component.ts";
import { cutOff } from "../../platform/redis/open-redis.ts";
import type { BlockingConnection, RedisReader, RedisStore } from "../../platform/redis/redis-store.ts";
import { bytesOf, floatsOf } from "./embedding.ts";
import {
  type Candidate,
  type FaceEngine,
  isFinal,
  rescore,
  type SearchOutcome,
  type SearchQuery,
  type SearchResult,
} from "./face-engine.ts";
import { facesMax } from "./face-writer.ts";
import { runIdOf } from "./fresh.ts";
import { activeFields, type ActiveGallery, isSameGallery, readActiveGallery } from "./gallery.ts";
import { activeKey, denyKey, errorMember, freshKey, galleryKeys, namesOf, readElementName } from "./key-schema.ts";
import { cosineErrorMax, quantisationError, quantisationErrorMax } from "./quantisation.ts";

/** Candidates that are asked for at first. */
const candidatesFirst = 64;
/** Copies that one command reads: at 2048 numbers each 1 MiB. */
const copiesMax = 128;
/** People for whom something is read beside: the best by the vector set's own scores is hardly ever behind them. */
const besideMax = 4;
/** Faces of a person in one gallery: of one enrolment, and of those that are just being replaced. */
const facesOfPersonMax = 4 * facesMax;

/** How to search the face Redis. */
export interface StoreEngineOptions {
  readonly store: RedisReader | RedisStore;
  /**
   * Whether doors decide by what is found: then only the active gallery of a store that is fresh is searched. Otherwise any gallery is, as it is.
   */
  readonly forDoors: boolean;
  /** Key of a string to read in the same round trip as the faces, for whoever is likeliest. Default: none. */
  readonly besideKey?: (memberId: string) => string;
  /**
   * Connections of its own, so that searches do not wait for each other: Redis compares with a gallery in a thread, and meanwhile does nothing else that came by the same
   * connection. Default: 4.
   */
  readonly connections?: number;
}

const connectionsDefault = 4;

/**
 * Opens its connections with its start, which waits for the first attempts to connect and never fails. Without it, searches go by the store's shared connection.
 */
export interface StoreEngine extends FaceEngine, Component {}

/** A connection, and how many searches use it. */
interface Connection {
  readonly client: Pick<BlockingConnection, "pipeline">;
  searches: number;
}

/** What one round brings. */
type Round =
  | Exclude<SearchOutcome, { readonly kind: "searched" }>
  /** More candidates are needed. */
  | { readonly kind: "open" }
  | { readonly kind: "final"; readonly result: SearchResult; readonly beside: Buffer | undefined };

/** Names of faces that may be the likest. */
interface Shortlist {
  readonly names: readonly string[];
  /** No other face has a greater cosine than this. */
  readonly restCosineMax: number;
}

/**
 * The engine that asks the face Redis, exactly, mostly in two round trips. The first compares with all faces of the gallery in int8; the second reads the float32
 * copies of the likest and, last, the deny-list. The result is final when both the best person's cosine and the second's are greater than what any face that was not read can have
 * (`quantisation.ts`), or when that no more changes what is decided; until then twice as many are read. What was taken out of the store meanwhile has no copy, and counts as not there.
 */
export function createStoreEngine(options: StoreEngineOptions): StoreEngine {
  const { store, connections: connectionsMax = connectionsDefault } = options;
  let connections: readonly Connection[] = [{ client: store.client, searches: 0 }];
  const own: BlockingConnection[] = [];
  return {
    name: "face search",
    start: async () => {
      while (own.length < connectionsMax) own.push(store.dedicated());
      await Promise.all(own.map(firstAttempt));
      connections = own.map((client) => ({ client, searches: 0 }));
    },
    stop: () => {
      own.forEach(cutOff);
      return Promise.resolve();
    },
    search: async (query, signal) => {
      const connection = connections.reduce((best, other) => (other.searches < best.searches ? other : best));
      const copies = new Map<string, Float32Array>();
      connection.searches += 1;
      try {
        for (let count = candidatesFirst; ; count *= 2) {
          signal.throwIfAborted();
          const round = await settled(search(connection.client, options, query, count, copies), signal);
          if (round.kind === "open") continue;
          if (round.kind !== "final") return round;
          return { kind: "searched", result: round.result, source: "store", ageMs: 0, beside: round.beside };
        }
      } finally {
        connection.searches -= 1;
      }
    },
  };
}

/** One round with `count` candidates. `copies` are those that earlier rounds read; what is read is added. */
async function search(
  client: Connection["client"],
  options: StoreEngineOptions,
  query: SearchQuery,
  count: number,
  copies: Map<string, Float32Array>,
): Promise<Round> {
  const first = client.pipeline();
  askWhich(first, query.gallery);
  if (query.memberId === undefined) askLikest(first, query, count);
  else
    first.zrange(galleryKeys(query.gallery).names, ...namesOf(query.memberId), "BYLEX", "LIMIT", 0, facesOfPersonMax);
  const [info, mark, active, ...found] = await run(first);
  const obstacle = obstacleOf(options, query.gallery, info, mark, active);
  if (obstacle !== undefined) return obstacle;
  const shortlist =
    query.memberId === undefined
      ? shortlistOf(query, count, found as [string[], string | null])
      : { names: found[0] as string[], restCosineMax: -Infinity };
  return await compare(client, options, query, shortlist, copies, info as string);
}

/** The second round trip: reads the copies, and what may speak against them. */
async function compare(
  client: Connection["client"],
  options: StoreEngineOptions,
  query: SearchQuery,
  shortlist: Shortlist,
  copies: Map<string, Float32Array>,
  infoBefore: string,
): Promise<Round> {
  const { gallery, template } = query;
  const { names, restCosineMax } = shortlist;
  const elements = names.map(readElementName);
  const unread = names.filter((name) => !copies.has(name));
  const people = [...new Set(elements.map(({ memberId }) => memberId))].slice(0, besideMax);
  const { besideKey } = options;
  const second = client.pipeline();
  for (let at = 0; at < unread.length; at += copiesMax)
    second.hmgetBuffer(galleryKeys(gallery).copy, ...unread.slice(at, at + copiesMax));
  if (besideKey !== undefined && people.length > 0) second.mgetBuffer(people.map(besideKey));
  // Last: whoever was denied before this search began is seen to be.
  if (names.length > 0) second.hmget(denyKey(gallery.branchId), ...elements.map(({ enrolmentId }) => enrolmentId));
  askWhich(second, gallery);
  const replies = await run(second);
  // The process that answers now is the one that answered before, and the gallery was not exchanged and dropped meanwhile.
  const [info, mark, active] = replies.slice(-3);
  const obstacle = obstacleOf(options, gallery, info, mark, active);
  if (obstacle !== undefined) return obstacle;
  if (runIdOf(info as string) !== runIdOf(infoBefore)) return { kind: "open" };
  for (let at = 0, reply = 0; at < unread.length; at += copiesMax, reply += 1) {
    for (const [index, copy] of (replies[reply] as (Buffer | null)[]).entries())
      if (copy !== null) copies.set(unread[at + index] as string, floatsOf(copy));
  }
  const denied = names.length > 0 ? (replies.at(-4) as (string | null)[]) : [];
  const result = rescore(template, candidatesOf(names, copies, denied));
  if (!isFinal(result, restCosineMax, query.decideBy)) return { kind: "open" };
  const place = people.indexOf(result.best?.memberId ?? "");
  const strings = besideKey !== undefined && people.length > 0 ? (replies.at(-5) as (Buffer | null)[]) : [];
  return { kind: "final", result, beside: strings[place] ?? undefined };
}

/** Asks which process answers, for which one the store is fresh, and which gallery is active. */
function askWhich(pipeline: Pipeline, gallery: ActiveGallery): void {
  pipeline.info("server");
  pipeline.get(freshKey);
  pipeline.hmget(activeKey(gallery.branchId), ...activeFields);
}

/** Why the store does not decide, by the replies to `askWhich`. */
function obstacleOf(
  options: StoreEngineOptions,
  gallery: ActiveGallery,
  info: unknown,
  mark: unknown,
  fields: unknown,
): Exclude<SearchOutcome, { readonly kind: "searched" }> | undefined {
  if (!options.forDoors) return undefined;
  if (runIdOf(info as string) !== mark) return { kind: "not_fresh" };
  const active = readActiveGallery(gallery.branchId, fields as (string | null)[]);
  const deciding = [active, active?.former];
  if (deciding.some((each) => each !== undefined && isSameGallery(each, gallery))) return undefined;
  return { kind: "gallery_changed", active };
}

function askLikest(pipeline: Pipeline, { gallery, template }: SearchQuery, count: number): void {
  const keys = galleryKeys(gallery);
  pipeline.call("VSIM", keys.set, "FP32", bytesOf(template), "WITHSCORES", "COUNT", count, "TRUTH");
  // After it: the error of whatever was compared is known by then.
  pipeline.zscore(keys.error, errorMember);
}

/** Reads the replies to `askLikest`. */
function shortlistOf(
  { template }: SearchQuery,
  count: number,
  [likest, error]: readonly [readonly string[], string | null],
): Shortlist {
  const names = likest.filter((_, place) => place % 2 === 0);
  if (names.length < count) return { names, restCosineMax: -Infinity };
  const last = 2 * Number(likest.at(-1)) - 1;
  const storedErrorMax = error === null ? quantisationErrorMax(template.length) : Number(error);
  return { names, restCosineMax: last + cosineErrorMax(quantisationError(template), storedErrorMax, template.length) };
}

/** Those that are there and not denied. */
function* candidatesOf(
  names: readonly string[],
  copies: ReadonlyMap<string, Float32Array>,
  denied: readonly (string | null)[],
): Iterable<Candidate> {
  for (const [place, name] of names.entries()) {
    const template = copies.get(name);
    if (template !== undefined && denied[place] === null) yield { name, template };
  }
}

/** Resolves when a connection is there, or could not be made. */
async function firstAttempt(client: BlockingConnection): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  client.once("ready", resolve);
  client.once("close", resolve);
  await promise;
}

type Pipeline = ReturnType<RedisStore["client"]["pipeline"]>;

async function run(pipeline: Pipeline): Promise<readonly unknown[]> {
  const replies = (await pipeline.exec()) ?? [];
  return replies.map(([error, reply]) => {
    if (error !== null) throw error;
    return reply;
  });
}

/** Settles as `work` does, or rejects as soon as the signal is aborted; late work goes on unheard. */
async function settled<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  const { promise, reject } = Promise.withResolvers<never>();
  const onAbort = (): void => reject(signal.reason as Error);
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    return await Promise.race([work, promise]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}
