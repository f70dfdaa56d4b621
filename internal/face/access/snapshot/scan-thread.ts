import { takeMessages } from "../../../platform/lifecycle/take-messages.ts";
import type { ScanAnswer, ScanMessage } from "./scanner.ts";
import { createScanPages, type ScanPages } from "./scan-pages.ts";

/** Scans the memory that it is given first. */
let scanPages: ScanPages | undefined;

takeMessages<ScanMessage, ScanAnswer>((message, post) => {
  if (message.kind === "memory") {
    scanPages = createScanPages(message.memory, "thread");
    return;
  }
  if (scanPages === undefined) throw new Error("there is no memory to scan");
  const { slots, floor } = scanPages(message.scan);
  post({ id: message.id, slots, floor });
});
