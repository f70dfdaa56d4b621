import type { ErrorRow, ErrorTable } from "../platform/errors/define-errors.ts";
import { storeErrors } from "../platform/errors/store-errors.ts";
import { eventErrors } from "../platform/events/errors.ts";
import { identityErrors } from "../platform/identity/errors.ts";
import { resourceErrors } from "../platform/resource/errors.ts";
import { callErrors } from "../platform/rpc/call/errors.ts";
import { runtimeErrors } from "../platform/runtime/errors.ts";
import type { ServiceInfo } from "../platform/service/define-service.ts";

/** What every service may answer, whatever it serves. */
export const platformTables: readonly ErrorTable[] = [
  callErrors.table,
  identityErrors.table,
  resourceErrors.table,
  storeErrors.table,
  eventErrors.table,
  runtimeErrors.table,
];

/** A reason with all that is said of it. */
export interface ErrorReason {
  readonly reason: string;
  /** More than one is a fault: a reason has one code. */
  readonly codes: readonly string[];
  /** Names of the services that give it, in the order of the catalogue; "every service" for the platform's. */
  readonly from: readonly string[];
  /** Each text once. */
  readonly texts: readonly string[];
}

/** Every reason that a caller may be told, each once, by name. */
export function errorReasons(catalog: readonly ServiceInfo[]): readonly ErrorReason[] {
  const rows: (ErrorRow & { readonly from: string })[] = [];
  const take = (from: string, table: ErrorTable): void => {
    for (const row of Object.values(table)) rows.push({ ...row, from });
  };
  for (const table of platformTables) take("every service", table);
  for (const { name, errors } of catalog) take(name, errors ?? {});
  return Array.from(
    Map.groupBy(rows, ({ reason }) => reason),
    ([reason, same]) => ({
      reason,
      codes: unique(same.map(({ code }) => code)),
      from: same.some(({ from }) => from === "every service")
        ? ["every service"]
        : unique(same.map(({ from }) => from)),
      texts: unique(same.map(({ text }) => text)),
    }),
  ).toSorted((a, b) => (a.reason < b.reason ? -1 : 1));
}

function unique(values: readonly string[]): readonly string[] {
  return [...new Set(values)];
}

/** The reasons as a document for people, in Markdown. */
export function errorReasonsDocument(catalog: readonly ServiceInfo[]): string {
  const cells = errorReasons(catalog).map(({ reason, codes, from, texts }) => [
    reason,
    codes.map((code) => code.toUpperCase()).join(", "),
    from.join(", "),
    texts.map((text) => text.replaceAll("|", String.raw`\|`)).join("; or "),
  ]);
  const rows = [["reason", "code", "from", "what it says"], ...cells];
  const widths = [0, 1, 2, 3].map((column) => Math.max(...rows.map((row) => row[column]!.length)));
  const line = (row: readonly string[]): string =>
    `| ${row.map((cell, column) => cell.padEnd(widths[column]!)).join(" | ")} |`;
  const rule = `| ${widths.map((width) => "-".repeat(width)).join(" | ")} |`;
  return [
    "# Error reasons",
    "",
    "Every error carries a code and, as `google.rpc.ErrorInfo` of the domain `muin`, a reason: one of these and no other. `{name}` stands for a",
    "fact that is also in the error's metadata under that key. `bun run generate` writes this page from the tables in the code.",
    "",
    line(rows[0]!),
    rule,
    ...rows.slice(1).map(line),
    "",
  ].join("\n");
}
