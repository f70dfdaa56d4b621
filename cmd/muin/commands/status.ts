import { timestampDate, type Timestamp } from "@bufbuild/protobuf/wkt";
import {
  GetStatusResponseSchema,
  type GetStatusResponse,
  OperationsService,
} from "../../../internal/gen/muin/platform/v1/operations_service_pb.ts";
import { plainMessage } from "../remote/plain-message.ts";
import { remoteCommand } from "../remote/remote-command.ts";
import { Failure } from "../terminal/failure.ts";
import type { Output } from "../terminal/output.ts";

/** `muin status`. */
export const status = remoteCommand({
  name: "status",
  description: "show services, stores, outboxes and consumers; exits with 3 when Muin is not ready",
  examples: ["muin status", "muin status --json"],
  run: async ({ json }, { client, url, operator, output }) => {
    const reply = await client(OperationsService).getStatus({});
    if (json === true) output.json(plainMessage(GetStatusResponseSchema, reply));
    else printStatus(reply, { url: await url(), operator: await operator() }, output);
    if (!reply.ready) throw new Failure("unreachable", "Muin is not ready");
  },
});

function printStatus(
  status: GetStatusResponse,
  { url, operator }: { readonly url: string; readonly operator: string | undefined },
  output: Output,
): void {
  const { paint } = output;
  const good = (is: boolean, yes: string, no: string): string => (is ? paint("green", yes) : paint("red", no));
  output.print(`Muin ${status.version} at ${url} is ${good(status.ready, "ready", "not ready")}`);
  if (operator !== undefined) output.print(`Status page and metrics at ${operator}`);
  if (status.zoneRulesVersion !== "") output.print(`Time zones by the IANA rules ${status.zoneRulesVersion}`);
  for (const reason of status.degraded) output.print(paint("red", `degraded: ${reason}`));
  for (const notice of status.notices) output.print(paint("red", `to set right: ${notice}`));
  const section = (header: readonly string[], rows: readonly (readonly string[])[]): void => {
    if (rows.length === 0) return;
    output.print("");
    output.table(header, rows);
  };
  section(
    ["SERVICE", "STATE", ""],
    status.services.map(({ name, ready, detail }) => [name, good(ready, "ready", "not ready"), detail]),
  );
  section(
    ["STORE", "KIND", "STATE", ""],
    status.stores.map(({ name, kind, serverVersion, reachable, detail }) => [
      name,
      `${kind} ${serverVersion}`.trimEnd(),
      good(reachable, "reachable", "away"),
      detail,
    ]),
  );
  section(
    ["OUTBOX", "WAITING", "OLDEST", "PARKED"],
    status.outboxes.map(({ service, depth, ageMs, parked }) => [
      service,
      String(depth),
      depth === 0n ? "" : `${ageMs} ms`,
      parked === 0n ? "0" : paint("red", `${parked}, see muin outbox list`),
    ]),
  );
  section(
    ["CONSUMER", "TOPIC", "LAG", "DEAD LETTERS", ""],
    status.consumers.map(({ service, topic, lag, deadLetters, lost, lostSince }) => [
      service,
      topic,
      String(lag),
      String(deadLetters),
      lossOf(lost, lostSince, paint),
    ]),
  );
}

/** What is said of a consumer that misses events, or that did. */
function lossOf(lost: boolean, since: Timestamp | undefined, paint: Output["paint"]): string {
  const time = since === undefined ? "" : ` ${timestampDate(since).toISOString()}`;
  if (lost) return paint("red", `LOST since${time}: is being rebuilt`);
  return since === undefined ? "" : `missed events since${time}, rebuilt`;
}
