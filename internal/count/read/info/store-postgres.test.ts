import { timestampDate } from "@bufbuild/protobuf/wkt";
import { startReading } from "../read-fixture.ts";
import { createPostgresInfoView } from "./store-postgres.ts";
import { describeInfoView } from "./store.contract.ts";

describeInfoView("PostgreSQL", async () => {
  const reading = await startReading();
  return {
    view: createPostgresInfoView(reading.stores.info),
    setEpoch: async (epoch) => void (await reading.info.sql`UPDATE platform.epoch SET epoch = ${epoch}`),
    addCount: async ({ info, version }, isPending = false) => {
      const { countId, displayName, labels, minValue, createTime, updateTime } = info;
      await reading.info.sql`
        INSERT INTO count_info (count_id, display_name, labels, min_value, state, version, info_revision, create_time, update_time)
        VALUES (${countId}, ${displayName}, ${reading.info.sql.json(labels)}, ${minValue?.toString() ?? null},
          ${isPending ? "PENDING" : "ACTIVE"}, ${version}, ${version}, ${timestampDate(createTime!)}, ${timestampDate(updateTime!)})`;
    },
    [Symbol.asyncDispose]: () => reading[Symbol.asyncDispose](),
  };
});
