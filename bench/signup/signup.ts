import { timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import { catalog } from "../../internal/catalog.ts";
import { ErrorInfoSchema } from "../../internal/gen/google/rpc/error_details_pb.ts";
import { EnrolmentService } from "../../internal/gen/muin/face/v1/enrolment_service_pb.ts";
import { AuthService } from "../../internal/gen/muin/identity/v1/auth_service_pb.ts";
import { OwnerService } from "../../internal/gen/muin/identity/v1/owner_service_pb.ts";
import { UserCreatedSchema } from "../../internal/gen/muin/identity/v1/user_events_pb.ts";
import { UserService } from "../../internal/gen/muin/identity/v1/user_service_pb.ts";
import { startMuin, type TestMuin } from "../../internal/platform/testing/muin.ts";
import { createLatencyRecorder, type Latency } from "../harness/latency.ts";
import { openLoop } from "../harness/load.ts";
import { describeMachine, type Machine } from "../harness/machine.ts";
import { layOut } from "../harness/table.ts";

/** The promise, in milliseconds. */
const p99MsMax = 1000;
/** Pause between two looks for a copy: adds up to as much to each latency. */
const lookMs = 5;
/** A copy that is not there by then will not come. */
const patienceMs = 20_000;
/** Sign-ups on their way at once. */
const callersMax = 64;
const password = "a long enough secret";

/** How a run is made. */
export interface SignupOptions {
  readonly windowMs: number;
  readonly ratePerS: number;
  readonly report: (line: string) => void;
}

/** How long a service's copy of those who signed up took. */
export interface SignupRow {
  /** Service in the catalogue. */
  readonly row: string;
  readonly copies: number;
  /** From when the account was written, just before its commit, until the service showed the person. */
  readonly latencyMs: Latency;
  readonly met: boolean;
}

/** A run of the suite. */
export interface SignupResult {
  readonly machine: Machine;
  readonly ratePerS: number;
  readonly signUps: number;
  readonly rows: readonly SignupRow[];
  readonly faults: readonly string[];
}

/** Whether a service has its copy of a person, seen from outside. */
type Look = (muin: TestMuin, person: { readonly userId: string; readonly accessToken: string }) => Promise<boolean>;

/** By service. Each one that consumes UserCreated needs a look: a run fails without. */
const looks: Readonly<Record<string, Look>> = {
  user: async (muin, { userId, accessToken }) =>
    isThere(muin.client(UserService, accessToken).getUser({ userId }), Code.Unavailable),
  // Whoever is known can be made an owner.
  "branch-owner": async (muin, { userId }) =>
    isThere(muin.client(OwnerService).registerOwner({ owner: { userId, companyName: "Bench" } }), Code.NotFound),
  // Of who is known it says what else is missing.
  mlops: async (muin, { userId: memberId }) => {
    const enrolling = muin.client(EnrolmentService).enrolFace({
      branchIds: ["bench"],
      memberId,
      modelId: "bench",
      embeddings: [new Uint8Array(4)],
      consent: { textVersion: "bench", time: timestampFromMs(Date.UTC(2020, 0, 1)) },
    });
    const error = await enrolling.then(
      () => new Error("a face without a branch was enrolled"),
      (failure: unknown) => ConnectError.from(failure),
    );
    const reason = error instanceof ConnectError ? error.findDetails(ErrorInfoSchema)[0]?.reason : undefined;
    if (reason === "USER_NOT_FOUND") return false;
    if (reason === "BRANCH_NOT_FOUND") return true;
    throw error;
  },
};

async function isThere(call: Promise<unknown>, notYet: Code): Promise<boolean> {
  try {
    await call;
    return true;
  } catch (error) {
    if (ConnectError.from(error).code === notYet) return false;
    throw error;
  }
}

/** Signs people up at a steady rate, whether or not earlier ones have arrived everywhere, and waits for every service's copy. */
export async function runSignup({ windowMs, ratePerS, report }: SignupOptions): Promise<SignupResult> {
  const machine = describeMachine();
  const services = catalog
    .filter(({ consumes }) => consumes.some(({ schema }) => schema.typeName === UserCreatedSchema.typeName))
    .map(({ name }) => ({ name, look: looks[name], latency: createLatencyRecorder(), copies: 0 }));
  await using muin = await startMuin();
  let number = 0;
  const result = await openLoop(ratePerS, callersMax, windowMs, async () => {
    const email = `person${(number += 1)}@example.com`;
    const { userId, tokens } = await muin.signUp({ email, password, displayName: `Person ${number}` });
    const person = { userId, accessToken: tokens.accessToken };
    const { sessions } = await muin.client(AuthService, person.accessToken).listSessions({});
    const [session] = sessions;
    if (session?.createTime === undefined) throw new Error("a new account has no session");
    const sinceMs = timestampMs(session.createTime); // Written with the account.
    await Promise.all(
      services.map(async (service) => {
        const { look, name } = service;
        if (look === undefined) throw new Error(`${name} consumes UserCreated, and nobody looks for its copy`);
        const endMs = Date.now() + patienceMs;
        while (!(await look(muin, person))) {
          if (Date.now() > endMs) throw new Error(`${name} has no copy after ${patienceMs} ms`);
          await Bun.sleep(lookMs);
        }
        service.latency.record(Date.now() - sinceMs);
        service.copies += 1;
      }),
    );
    return 1;
  });
  report(`  ${result.acknowledged} people signed up and are known everywhere`);
  return {
    machine,
    ratePerS,
    signUps: result.acknowledged,
    rows: services.map(({ name, copies, latency }) => {
      const latencyMs = latency.summary();
      return { row: name, copies, latencyMs, met: latencyMs.p99 < p99MsMax };
    }),
    faults: Object.entries(result.refused).map(([reason, times]) => `${times} x ${reason}`),
  };
}

/** The run as a table, for a person. */
export function printSignup({ machine, ratePerS, signUps, rows, faults }: SignupResult): string {
  return [
    `${machine.cores} x ${machine.cpu}, ${machine.memoryGiB} GiB, Bun ${machine.bun}; load average before: ${machine.load}`,
    `${signUps} sign-ups at ${ratePerS}/s, open loop; from just before the commit until the service shows the person`,
    "",
    layOut(
      ["copy in", "copies", "p50 ms", "p99 ms", "max ms", `p99 < ${p99MsMax} ms`],
      rows.map(({ row, copies, latencyMs, met }) => [
        row,
        copies.toString(),
        latencyMs.p50.toFixed(0),
        latencyMs.p99.toFixed(0),
        latencyMs.max.toFixed(0),
        met ? "met" : "MISSED",
      ]),
    ),
    ...faults.map((fault) => `INVALID ${fault}`),
  ].join("\n");
}
