import { defineErrors } from "../errors/define-errors.ts";

/** What whoever calls or operates a process may see of its runtime. */
export const runtimeErrors = defineErrors({
  serviceNotFound: {
    reason: "SERVICE_NOT_FOUND",
    code: "not_found",
    text: 'no service "{service}" runs here: {known}',
  },
  holderNotFound: {
    reason: "SERVICE_NOT_FOUND",
    code: "not_found",
    text: 'no service "{service}" that holds data of people runs here: {known}',
  },
  topicNotFound: {
    reason: "TOPIC_NOT_FOUND",
    code: "not_found",
    text: 'there is no topic "{topic}": {known}',
  },
  topicNotRepublished: {
    reason: "TOPIC_NOT_FOUND",
    code: "not_found",
    text: 'no service here republishes "{topic}": {known}',
  },
  topicNotConsumed: {
    reason: "TOPIC_NOT_FOUND",
    code: "not_found",
    text: '{service} does not consume "{topic}" as a group: {known}',
  },
});

/** The words "there is …" with every name once, in order. */
export function listed(names: readonly string[]): string {
  return names.length === 0 ? "there is none" : `there is ${[...new Set(names)].toSorted().join(", ")}`;
}
