import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import postgres, { type Sql } from "postgres";
import { catalog } from "../catalog.ts";
import { AccessService } from "../gen/muin/face/v1/access_service_pb.ts";
import { DecisionSource, ReplayCheck } from "../gen/muin/face/v1/entry_pb.ts";
import { topology } from "../platform/catalog/topology.ts";
import { eventually } from "../platform/testing/eventually.ts";
import { environmentOf } from "../platform/testing/mutant-process.ts";
import {
  ask,
  newDoorBranch,
  newDoorDevice,
  newPicture,
  newVisitor,
  type DoorDevice,
  type Visitor,
} from "./door-fixture.ts";
import { startDoorMesh, type DoorMesh } from "./door-mesh-fixture.ts";
import { expectRight, startWalk, type Visit, type Walk } from "./door-walk-fixture.ts";
import type { Instance } from "./mesh-fixture.ts";

// Many processes start by their sources again and again, on busy machines.
setDefaultTimeout(120_000);

const door = "access";
/** All that runs beside the door. Those that count know nothing of it: they are away together. */
const others: Readonly<Record<string, readonly string[]>> = {
  auth: ["auth"],
  user: ["user"],
  "branch-owner": ["branch-owner"],
  mlops: ["mlops"],
  counts: catalog.map(({ name }) => name).filter((name) => name.startsWith("count-")),
};

let site: DoorMesh;
let admin: Sql;
let branchId: string;
let device: DoorDevice;
let visitors: readonly Visitor[];
let walk: Walk;
beforeAll(async () => {
  site = await startDoorMesh(catalog.map(({ name }) => name));
  admin = postgres(site.mesh.postgres.adminUrl, { max: 1, onnotice: () => undefined });
  ({ branchId } = await newDoorBranch(site));
  device = await newDoorDevice(site, branchId);
  visitors = [await newVisitor(site, branchId, device), await newVisitor(site, branchId, device)];
  walk = startWalk(site, { branchId, device, visitors });
  await walk.next(1);
});
afterAll(async () => {
  await walk.stop();
  await admin.end();
  await site[Symbol.asyncDispose]();
});

/** What a door must do without. */
interface Part {
  /** It is there, and answers nothing. `undefined`: it can only be gone. */
  readonly halt: (() => Promise<void>) | undefined;
  readonly kill: () => Promise<void>;
  /** Resolves when it is there again. */
  readonly back: () => Promise<void>;
}

/** A process and those that it started. */
async function familyOf(pid: number): Promise<readonly number[]> {
  const children = (await readFile(`/proc/${pid}/task/${pid}/children`, "utf8"))
    .split(" ")
    .filter((each) => each !== "");
  return [pid, ...(await Promise.all(children.map((child) => familyOf(Number(child))))).flat()];
}

/** A server: "postgres", or a Redis by its name. */
function serverPart(server: string): Part {
  const program = () => (server === "postgres" ? site.mesh.postgres : site.mesh.redis.get(server)!);
  return {
    halt: async () => {
      for (const pid of await familyOf(program().pid)) process.kill(pid, "SIGSTOP");
    },
    kill: async () => {
      for (const pid of await familyOf(program().pid)) process.kill(pid, "SIGKILL");
      await program().kill("SIGKILL");
    },
    back: () => program().restart(),
  };
}

/** One database of the server lets nobody in. */
function databasePart(database: string): Part {
  const allow = (whether: boolean) => admin.unsafe(`ALTER DATABASE "${database}" ALLOW_CONNECTIONS ${whether}`);
  return {
    halt: undefined,
    kill: async () => {
      await allow(false);
      await admin`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = ${database}`;
    },
    back: async () => void (await allow(true)),
  };
}

function servicesPart(services: readonly string[]): Part {
  const all = (work: (instance: Instance) => Promise<void>) => async (): Promise<void> => {
    await Promise.all(services.map((service) => work(site.instance(service))));
  };
  return {
    halt: all(async (instance) => instance.program().signal("SIGSTOP")),
    kill: all((instance) => instance.kill()),
    back: all(async (instance) => {
      instance.restart();
      await instance.isReady();
    }),
  };
}

const plan = topology(catalog);
/** Servers that a door does without, also when it is started. The events server is the broker too, and holds leases. */
const servers = ["postgres", "events", ...plan.redisServers.map(({ name }) => name).filter((name) => name !== "faces")];
const parts: Readonly<Record<string, Part>> = {
  ...Object.fromEntries(plan.databases.map(({ database }) => [`database ${database}`, databasePart(database)])),
  ...Object.fromEntries(
    servers.map((name) => [name === "postgres" ? "PostgreSQL" : `Redis ${name}`, serverPart(name)]),
  ),
  ...Object.fromEntries(Object.entries(others).map(([name, services]) => [`service ${name}`, servicesPart(services)])),
};

/** What the door did without each of them, by row and column. */
const matrix: Record<string, Record<string, string>> = {};
afterAll(() => console.table(matrix));

const visitsPerCell = 8;

/** Everybody who comes is told what they should be; fills a cell of the matrix. */
async function decides(row: string, column: string): Promise<void> {
  const visits = await walk.next(visitsPerCell);
  expectRight(visits);
  (matrix[row] ??= {})[column] = shown(visits);
}

function shown(visits: readonly Visit[]): string {
  return `${visits.length} right, <= ${Math.ceil(Math.max(...visits.map(({ tookMs }) => tookMs)))} ms`;
}

const restartDoor = async (env?: Readonly<Record<string, string>>): Promise<void> => {
  await site.instance(door).kill();
  site.instance(door).restart(env);
};

const doorSays = async (): Promise<string> =>
  (await ask(site, device, { branchId, embedding: newPicture(visitors[0]!) })).said;

/** Resolves with what the door says once it is started and says one of these. */
function says(...these: readonly string[]): Promise<string> {
  return eventually(
    async () => {
      const said = await doorSays();
      if (these.includes(said)) return said;
      throw new Error(`the door says ${said}; its log ends with\n${doorLog()}`);
    },
    { timeoutMs: 30_000 },
  );
}

const logCharsMax = 2000;
const doorLog = (): string =>
  `${site.instance(door).program().stdout().slice(-logCharsMax)}\n${site.instance(door).program().stderr().slice(-logCharsMax)}`;

/** The door is killed, and decides once it is there again. */
async function decidesAnew(row: string, column: string): Promise<void> {
  await restartDoor();
  await says("ADMITTED");
  await decides(row, column);
}

test.each(Object.entries(parts))("without %s the door decides, also after a restart", async (row, part) => {
  if (part.halt !== undefined) {
    await part.halt();
    await decides(row, "stands still");
    await decidesAnew(row, "and restarted");
  }
  await part.kill();
  await decides(row, "gone");
  await decidesAnew(row, "gone, restarted");
  if (row === "service auth") await withoutItsMemory();
  await part.back();
});

/** Mutant: a door that does not keep who calls opens no more when it is started without auth. */
async function withoutItsMemory(): Promise<void> {
  const file = join(import.meta.dir, "../face/access/definition.ts");
  const mutant = environmentOf({ file, from: 'keepsIdentityIn: "queue",', to: "" });
  await restartDoor({ BUN_OPTIONS: mutant["BUN_OPTIONS"] ?? "", MUIN_TEST_MUTANT: mutant["MUIN_TEST_MUTANT"] ?? "" });
  await says("IDENTITY_UNAVAILABLE");
  await restartDoor();
  await says("ADMITTED");
}

/** Resolves when the door has copied the branch's faces. */
async function hasSnapshot(): Promise<void> {
  await eventually(
    async () => {
      const metrics = await (await fetch(`${site.instance(door).operatorUrl}/metrics`)).text();
      expect(/^muin_access_snapshot_branches (\S+)$/m.exec(metrics)?.[1]).toBe("1");
    },
    { timeoutMs: 30_000 },
  );
}

test.each(["stands still", "gone"] as const)(
  "while the face store %s the door decides by its copy; one that is started then waits for it",
  async (column) => {
    const row = "Redis faces";
    const part = serverPart("faces");
    await hasSnapshot();
    await (column === "gone" ? part.kill : part.halt)?.();
    await decides(row, column);
    const { entryId = "" } = (await walk.next(1))[0]?.answer.decision ?? {};
    await restartDoor();
    await says("FACE_STORE_UNAVAILABLE");
    const refused = await walk.next(visitsPerCell);
    expect(new Set(refused.map(({ answer }) => answer.said))).toEqual(new Set(["FACE_STORE_UNAVAILABLE"]));
    (matrix[row] ??= {})[column === "gone" ? "gone, restarted" : "and restarted"] = "none until it is back";
    await part.back();
    await says("ADMITTED");
    const { entry } = await eventually(() => site.client(AccessService).getEntry({ entryId }));
    expect(entry).toMatchObject({ source: DecisionSource.SNAPSHOT, replayCheck: ReplayCheck.LOCAL });
  },
);

test("without all of them at once, the face store aside, the door decides, also after a restart", async () => {
  const row = "all but Redis faces";
  await Promise.all(servers.map((name) => serverPart(name).kill()));
  await Promise.all(Object.values(others).map((services) => servicesPart(services).kill()));
  await decides(row, "gone");
  await decidesAnew(row, "gone, restarted");
  await Promise.all(servers.map((name) => serverPart(name).back()));
  await servicesPart(["auth"]).back();
});

test("every decision that was answered is recorded", async () => {
  const answered = walk.visits.flatMap(({ answer }) => answer.decision?.entryId ?? []);
  const entries = site.client(AccessService);
  await eventually(
    async () => {
      const recorded = new Set<string>();
      let pageToken = "";
      do {
        const page = await entries.listEntries({ pageSize: 1000, pageToken });
        for (const { entryId } of page.entries) recorded.add(entryId);
        pageToken = page.nextPageToken;
      } while (pageToken !== "");
      // A check that cannot fail shows nothing: one that never was is missing.
      expect([...answered, "never"].filter((entryId) => !recorded.has(entryId))).toEqual(["never"]);
    },
    { timeoutMs: 30_000 },
  );
});
