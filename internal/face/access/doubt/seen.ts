import { join } from "node:path";
import { readText, replaceFile } from "../../../platform/local/files.ts";
import type { ChangeId } from "../../shared/change-stream.ts";

/** Keeps in the instance's folder the last change of a copy of which this process knows. */
export interface SeenChange {
  /** `undefined`: none was seen yet. */
  read(): Promise<ChangeId | undefined>;
  write(id: ChangeId | undefined): Promise<void>;
}

/** Keeps it in the folder, in a file of its own. */
export function keptSeenChange(folder: string): SeenChange {
  const path = join(folder, "copies-seen");
  return {
    read: async () => {
      const text = (await readText(path))?.trim();
      return text !== undefined && /^\d{1,20}-\d{1,20}$/.test(text) ? text : undefined;
    },
    write: (id) => replaceFile(path, `${id ?? ""}\n`, { mode: 0o600 }),
  };
}
