import postgres, { type Options, type PostgresType, type Sql } from "postgres";
import { backoffMs } from "../clock/backoff.ts";
import { awake, type Clock, systemClock } from "../clock/clock.ts";
import { type Random, systemRandom } from "../clock/random.ts";
import { storeErrors } from "../errors/store-errors.ts";
import type { Component } from "../lifecycle/component.ts";
import { retry } from "../lifecycle/retry.ts";
import { timeout, TimeoutError } from "../lifecycle/timeout.ts";
import type { Metrics } from "../telemetry/metrics.ts";
import { arrayTypes } from "./array-types.ts";
import type { Database, ReadOnlyDatabase, Transaction } from "./database.ts";
import { mapPostgresError, sqlState } from "./map-error.ts";
import { untrusted } from "../tls/untrusted.ts";
import { serverOf } from "./server-of.ts";

/** Until a connection is there. */
const connectTimeoutMs = 5000;
/** The server ends a statement after this. */
const statementTimeoutMs = 5000;
/** The server gives up waiting for a lock after this. */
const lockTimeoutMs = 3000;
/** The server ends a transaction in which nothing happens for this long. */
const idleInTransactionTimeoutMs = 10_000;
/** A server that is frozen ends nothing: after this the caller gets its answer without it. */
const queryDeadlineMs = statementTimeoutMs + 1000;
/** The same for a transaction as a whole. */
const transactionDeadlineMs = 20_000;
/** Statements and transactions that may be under way or waiting, per connection of the pool. */
const pendingPerConnectionMax = 64;
/** Attempts at a transaction that the server broke off in favour of another. */
const transactionAttemptsMax = 5;
/** Pause before the next one. */
const transactionBackoff = { minMs: 20, maxMs: 160 };
/** Pause between attempts to connect. */
const reconnectBackoff = { minMs: 50, maxMs: 1000 };
/** Connections get so long to finish when the pool closes. */
const closeTimeoutMs = 1_000;
const probeTimeoutMs = 900;
/** serialization_failure and deadlock_detected: the transaction had no effect and may be tried again. */
const retriedStates = new Set(["40001", "40P01"]);

/** How to open a database. */
export interface OpenDatabaseOptions {
  /** `postgres://role:password@host:port/database`, as `serverOf` reads it. */
  readonly url: string;
  /** Connections at most, opened when needed. Default 10. */
  readonly poolMax?: number;
  /** Shown by the server beside each connection: the service's name. */
  readonly applicationName: string;
  readonly clock?: Clock;
  readonly random?: Random;
  /** Told how full the pool is. */
  readonly metrics?: Metrics;
}

/** A pool of connections. `start` opens nothing and never fails: a server that is away is met by the first statement. */
export interface OpenDatabase extends Database, Component {
  /** Why the database cannot work, in words for an operator, or `undefined`. Answers within a second. */
  probe(): Promise<string | undefined>;
}

/** A pool of connections that may only read. */
export interface OpenReadOnlyDatabase extends ReadOnlyDatabase, Component {
  /** As in `OpenDatabase`. */
  probe(): Promise<string | undefined>;
}

/**
 * Opens a service's database with its data role. A failure of the server or the network rejects with UNAVAILABLE, reason
 * STORE_UNAVAILABLE; too many statements waiting with RESOURCE_EXHAUSTED, reason OVERLOADED; a statement's own failure with the
 * driver's error, whose `code` is the SQLSTATE. A transaction that rejects with STORE_UNAVAILABLE may have been committed. 64-bit
 * integers come as text and go as text, number or bigint.
 */
export function openDatabase(options: OpenDatabaseOptions): OpenDatabase {
  const { raw, guarded, admit, component, probe, clock } = openPool(options, false);
  const random = options.random ?? systemRandom;

  const attempt = async <T>(work: (tx: Transaction) => Promise<T>): Promise<T> => {
    const done = admit();
    const settled = raw.begin(work).finally(done);
    try {
      return (await timeout(awake(clock), transactionDeadlineMs, settled)) as T;
    } catch (error) {
      throw mapPostgresError(error);
    }
  };

  return {
    ...component,
    sql: guarded,
    probe,
    listen: (channel, onNotify, onListening) => raw.listen(channel, onNotify, onListening),
    transaction: (work) =>
      retry(() => attempt(work), {
        ...transactionBackoff,
        clock,
        random,
        attemptsMax: transactionAttemptsMax,
        isRetryable: (error) => retriedStates.has(sqlState(error) ?? ""),
      }),
  };
}

/** Opens a look at views of another service's database. Every statement that would write is refused by the session too. */
export function openReadOnlyDatabase(options: OpenDatabaseOptions): OpenReadOnlyDatabase {
  const { guarded, component, probe } = openPool(options, true);
  return { ...component, sql: guarded, probe };
}

function openPool(options: OpenDatabaseOptions, readOnly: boolean) {
  const clock = options.clock ?? systemClock;
  const poolMax = options.poolMax ?? 10;
  const pendingMax = poolMax * pendingPerConnectionMax;
  const server = serverOf(options.url);
  const raw = postgres(server.url, {
    ...driverOptions(options.applicationName, options.random ?? systemRandom),
    ...server.options,
    max: poolMax,
    connection: {
      application_name: options.applicationName,
      statement_timeout: statementTimeoutMs,
      lock_timeout: lockTimeoutMs,
      idle_in_transaction_session_timeout: idleInTransactionTimeoutMs,
      ...(readOnly ? { default_transaction_read_only: true } : {}),
    },
  });

  const pool = { pool: options.applicationName };
  const pendingGauge = options.metrics?.gauge({
    name: "database_pending",
    help: "Statements and transactions under way or waiting for a connection, by pool.",
    labels: ["pool"],
  });
  const refusals = options.metrics?.counter({
    name: "database_refusals_total",
    help: "Statements and transactions that were refused because too many waited, by pool.",
    labels: ["pool"],
  });
  let pending = 0;
  const count = (change: 1 | -1): void => {
    pending += change;
    pendingGauge?.set(pending, pool);
  };
  const admit = (): (() => void) => {
    if (pending >= pendingMax) {
      refusals?.add(1, pool);
      throw storeErrors.overloaded();
    }
    count(1);
    return () => count(-1);
  };

  let stopped: Promise<void> | undefined;
  const component: Component = {
    name: `postgres ${options.applicationName}`,
    start: () => Promise.resolve(),
    stop: () => (stopped ??= raw.end({ timeout: closeTimeoutMs / 1000 })),
  };
  const probe = async (): Promise<string | undefined> => {
    try {
      await timeout(awake(clock), probeTimeoutMs, raw`SELECT 1`);
      return undefined;
    } catch (error) {
      return describe(error);
    }
  };
  return { raw, guarded: guard(raw, admit, clock), admit, component, probe, clock };
}

/** Settings that hold for every connection, the migrations' included. */
export function driverOptions(
  applicationName: string,
  random: Random,
): Options<Record<string, PostgresType>> & { readonly backoff: (retries: number) => number } {
  return {
    connect_timeout: connectTimeoutMs / 1000,
    connection: { application_name: applicationName },
    backoff: (retries) => backoffMs(reconnectBackoff, retries + 1, random) / 1000,
    onnotice: () => undefined,
    fetch_types: false,
    types: arrayTypes,
  };
}

/** What the guard touches of the driver's query object. */
interface DriverQuery {
  handler: (query: DriverQuery) => unknown;
  resolve: (value: unknown) => void;
  reject: (error: unknown) => void;
}

/**
 * The tagged template with a bound on what may wait, a deadline, and mapped errors. The hook is the query's own handler, which
 * the driver calls when a statement is really sent: fragments that are built into other statements never come there.
 */
function guard(raw: Sql, admit: () => () => void, clock: Clock): Sql {
  const { sleep } = awake(clock);
  const guardQuery = (result: unknown): unknown => {
    if (!(result instanceof Promise) || !("handler" in result)) return result;
    const query = result as unknown as DriverQuery;
    const { handler } = query;
    query.handler = () => {
      const { resolve, reject } = query;
      let done: () => void;
      try {
        done = admit();
      } catch (error) {
        reject(error);
        return undefined;
      }
      const settled = new AbortController();
      sleep(queryDeadlineMs, settled.signal).then(
        () => reject(mapPostgresError(new TimeoutError(queryDeadlineMs))),
        () => undefined, // Settled in time.
      );
      const finish = (): void => {
        settled.abort();
        done();
        done = () => undefined;
      };
      query.resolve = (value) => {
        finish();
        resolve(value);
      };
      query.reject = (error) => {
        finish();
        reject(mapPostgresError(error));
      };
      return handler(query);
    };
    return query;
  };
  return new Proxy(raw, {
    apply: (target, receiver, args) => guardQuery(Reflect.apply(target, receiver, args)),
    get: (target, key) => {
      const value: unknown = Reflect.get(target, key);
      if (key !== "unsafe") return value;
      return (...args: Parameters<Sql["unsafe"]>) => guardQuery(target.unsafe(...args));
    },
  });
}

/** What an operator is told of a failed probe. */
const probeWords: ReadonlyMap<string | undefined, string> = new Map([
  ["ECONNREFUSED", "refuses connections"],
  ["28P01", "refuses the credentials"],
  ["28000", "refuses the credentials"],
  ["3D000", "the database does not exist"],
  ["53100", "its disk is full"],
  ["53300", "has no connection left"],
  ["57P03", "is starting or stopping"],
]);

function describe(error: unknown): string {
  const code = sqlState(error);
  return probeWords.get(code) ?? untrusted(code) ?? "does not answer";
}
