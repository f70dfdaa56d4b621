import type { JsonObject } from "@bufbuild/protobuf";
import type { PersonalDataHolders } from "../../../platform/service/define-service.ts";
import { userErrors } from "../errors.ts";

/**
 * Asks every other service that holds data of people for a person's: what each holds, by its name; who holds nothing is absent. All
 * of them answer, or COPY_UNAVAILABLE.
 */
export async function exportOfOthers(
  holders: PersonalDataHolders,
  userId: string,
  signal: AbortSignal,
): Promise<Record<string, JsonObject>> {
  try {
    const copies = await Promise.all(
      holders.names.map(async (name) => [name, await holders.exportFrom(name, userId, signal)] as const),
    );
    return Object.fromEntries(copies.filter((copy): copy is readonly [string, JsonObject] => copy[1] !== undefined));
  } catch (error) {
    throw userErrors.copyUnavailable({ cause: error });
  }
}
