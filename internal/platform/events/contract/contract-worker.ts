import { appendFileSync } from "node:fs";
import { systemClock } from "../../clock/clock.ts";
import type { EventRecord } from "../../service/event-record.ts";
import type { TestBus, TestBusConfig, WorkerOrder } from "./bus-fixture.ts";

// A process of its own for the contract suite: to be killed, paused and woken.
const order = JSON.parse(process.argv[2] ?? "") as WorkerOrder;
const module = (await import(order.module)) as {
  connectBus: (connection: string, config: TestBusConfig) => TestBus;
};
const bus = module.connectBus(order.connection, order.config);
const stopping = new AbortController();

/** One write to the end of the file: lines of several processes stand in the order in which they were written. */
function write(by: string, subject: string, number: number): void {
  appendFileSync(order.file, `${JSON.stringify({ by, subject, number })}\n`);
}

function consume() {
  return bus.subscribe({
    service: order.service,
    topic: order.topic,
    types: ["muin.test.v1.Happened"],
    kind: "group",
    onFailure: "parkKey",
    backMs: 0,
    attemptsMax: 3,
    handle: async (record) => {
      write(order.config.instance, record.subject, Number(new TextDecoder().decode(record.data)));
      await systemClock.sleep(order.pauseMs);
    },
  });
}

function relay() {
  // Goes on regardless of its signal, as a process would that was paused after it had looked: its lease term must stop it.
  return bus.leases.leaseholder(order.service, async (term) => {
    for (let number = 0; !stopping.signal.aborted; number++) {
      const record: EventRecord = {
        id: `relay-${number}`,
        source: "/muin/test",
        type: "muin.test.v1.Happened",
        subject: "from-relay",
        topic: order.topic,
        timeMs: 1,
        epoch: 0,
        traceparent: "",
        data: new TextEncoder().encode(String(number)),
      };
      try {
        await bus.publish([record], term);
      } catch (error) {
        write(error instanceof Error && error.name === "FencedError" ? "fenced" : "failed", String(error), number);
        return;
      }
      await systemClock.sleep(order.pauseMs);
    }
  });
}

const component = order.role === "consumer" ? consume() : relay();
await bus.start();
await component.start();
process.on("SIGTERM", () => {
  stopping.abort();
  void component
    .stop()
    .then(() => bus.stop())
    .then(() => process.exit(0));
});
