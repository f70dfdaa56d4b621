import type { ServiceImpl } from "@connectrpc/connect";
import type { StaffDataService } from "../../../gen/muin/identity/v1/staff_data_service_pb.ts";
import type { PersonalData } from "./rules.ts";

/** Serves what is kept of a person, to the service that copies it for them. */
export function createPersonalDataHandlers({
  personalData,
}: {
  readonly personalData: Pick<PersonalData, "exportOf">;
}): ServiceImpl<typeof StaffDataService> {
  return {
    exportStaffData: async ({ userId }) => {
      const staff = await personalData.exportOf(userId.replaceAll("\0", " "));
      return staff === undefined ? {} : { staff };
    },
  };
}
