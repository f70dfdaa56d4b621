import { afterAll, beforeAll } from "bun:test";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describeContract, type Skip } from "../../testing/contract.ts";
import { consumerTests } from "./consumers.contract.ts";
import { newName } from "./contract-fixture.ts";
import { deadLetterTests } from "./dead-letters.contract.ts";
import { orderTests } from "./order.contract.ts";
import { refusalTests } from "./refusal.contract.ts";
import { replayTests } from "./replay.contract.ts";
import { retentionTests } from "./retention.contract.ts";
import { successionTests } from "./succession.contract.ts";
import { termTests } from "./terms.contract.ts";
import type { BrokerUnderTest, ContractTests, TestBus, TestBusServer, WorkerOrder, Seen } from "./bus-fixture.ts";

const workerFile = Bun.fileURLToPath(new URL("contract-worker.ts", import.meta.url));

/** Services of worker processes. */
const workedFor = ["killed", "paused"];

/** The whole contract, by subject. */
const subjects = [
  orderTests,
  consumerTests,
  termTests,
  refusalTests,
  successionTests,
  retentionTests,
  deadLetterTests,
  replayTests,
] as const satisfies readonly ContractTests[];

/**
 * What every broker must do, with its dead letters and consumer groups, seen from outside: two kinds of process, a server, and
 * nothing of how it stores event records. `skip` names tests that do not hold for the implementation, and why; `only` a part.
 */
export function describeBroker(
  name: string,
  startServer: () => Promise<TestBusServer>,
  { skip, only = subjects }: { readonly skip: readonly Skip[]; readonly only?: readonly ContractTests[] },
): void {
  describeContract(name, { tests: only, skip }, () => {
    let server: TestBusServer;
    let folder: string;
    const buses = new Set<TestBus>();
    const workers = new Set<Bun.Subprocess>();

    beforeAll(async () => {
      server = await startServer();
      folder = await mkdtemp(join(tmpdir(), "muin-bus-"));
    });
    afterAll(async () => {
      for (const worker of workers) worker.kill("SIGKILL");
      await Promise.all([...buses].map((bus) => bus.stop()));
      await server[Symbol.asyncDispose]();
      await rm(folder, { recursive: true });
    });

    const newBus: BrokerUnderTest["newBus"] = async (...topics) => {
      const bus = server.createBus({ instance: newName("instance"), topics, services: workedFor });
      buses.add(bus);
      await bus.start();
      return bus;
    };
    const newWorkers: BrokerUnderTest["newWorkers"] = (role, topic, service) => {
      const file = join(folder, newName("workers"));
      return {
        start: (pauseMs) => {
          const order: WorkerOrder = {
            module: server.module,
            connection: server.connection,
            config: { instance: newName("worker"), topics: [topic] },
            topic: topic.name,
            service,
            file,
            role,
            pauseMs,
          };
          const worker = Bun.spawn([process.execPath, workerFile, JSON.stringify(order)], {
            stdin: "ignore",
            stdout: "inherit",
            stderr: "inherit",
          });
          workers.add(worker);
          return worker;
        },
        lines: async () =>
          (await readFile(file, "utf8").catch(() => ""))
            .split("\n")
            .slice(0, -1)
            .map((line) => JSON.parse(line) as Seen),
      };
    };
    return () => ({ server, newBus, newWorkers });
  });
}
