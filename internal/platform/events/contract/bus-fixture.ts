import type { Leases } from "../../lease/leases.ts";
import type { TestTable } from "../../testing/contract.ts";
import type { OpenBroker } from "../broker-opener.ts";
import type { Topic } from "../topics.ts";

/** A broker of one process with the leases it knows, as the implementation under test makes it. */
export interface TestBus extends OpenBroker {
  readonly leases: Leases;
}

/** What a bus in a test is told. */
export interface TestBusConfig {
  readonly instance: string;
  readonly topics: readonly Topic[];
  /** Services that consume elsewhere, and whose consumer groups are looked at here. */
  readonly services?: readonly string[];
}

/** A real server of the bus. */
export interface TestBusServer extends AsyncDisposable {
  createBus(config: TestBusConfig): TestBus;
  /** Ends it by SIGKILL and starts it again on the same data. */
  crash(): Promise<void>;
  /** For another process: a module that exports `connectBus(connection, config)`, and what to hand to it. */
  readonly module: string;
  readonly connection: string;
  /** Calls of an old lease term that may still store something: those that were under way when the next one began. */
  readonly lateCallsMax: 0 | 1;
}

/** What a worker process is told. */
export interface WorkerOrder {
  readonly module: string;
  readonly connection: string;
  readonly config: TestBusConfig;
  readonly topic: string;
  readonly service: string;
  /** File to which a line is appended per event, or per stored event record, so that several processes have one order. */
  readonly file: string;
  readonly role: "consumer" | "relay";
  /** So long it waits after each event, in its handler, or event record. */
  readonly pauseMs: number;
}

/** What was handled, or stored. */
export interface Seen {
  /** Who did it. */
  readonly by: string;
  readonly subject: string;
  readonly number: number;
}

/** Processes that consume a topic, or publish to it under a lease, each noting what it did. */
export interface TestWorkers {
  start(pauseMs: number): Bun.Subprocess;
  lines(): Promise<Seen[]>;
}

/** What a test of the contract works with: one server for all tests, topics of their own for each. */
export interface BrokerUnderTest {
  readonly server: TestBusServer;
  /** A started bus. */
  readonly newBus: (...topics: Topic[]) => Promise<TestBus>;
  readonly newWorkers: (role: WorkerOrder["role"], topic: Topic, service: string) => TestWorkers;
}

/** Tests of a contract by name. */
export type ContractTests = TestTable<BrokerUnderTest>;
