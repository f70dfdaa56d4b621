import type { Client } from "@connectrpc/connect";
import type { AccountData, AccountService } from "../../../gen/muin/identity/v1/account_service_pb.ts";
import type { StaffData, StaffDataService } from "../../../gen/muin/identity/v1/staff_data_service_pb.ts";
import { userErrors } from "../errors.ts";

/** What other services hold of a person; what they hold nothing of is absent. */
export interface DataOfOthers {
  readonly account?: AccountData;
  readonly staff?: StaffData;
}

/** Asks every other service that holds data of people for a person's: all of them answer, or UNAVAILABLE. */
export async function exportOfOthers(
  userId: string,
  services: {
    readonly accounts: Pick<Client<typeof AccountService>, "exportAccountData">;
    readonly staff: Pick<Client<typeof StaffDataService>, "exportStaffData">;
  },
  signal: AbortSignal,
): Promise<DataOfOthers> {
  try {
    const [{ account }, { staff }] = await Promise.all([
      services.accounts.exportAccountData({ userId }, { signal }),
      services.staff.exportStaffData({ userId }, { signal }),
    ]);
    return { ...(account === undefined ? {} : { account }), ...(staff === undefined ? {} : { staff }) };
  } catch (error) {
    throw userErrors.copyUnavailable({ cause: error });
  }
}
