import { expect, test } from "bun:test";
import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { CountSchema, CountState } from "../../../internal/gen/muin/count/v1/count_pb.ts";
import { plainMessage } from "./plain-message.ts";

test("prints messages with proto names and 64-bit numbers as numbers", () => {
  const count = create(CountSchema, {
    info: {
      countId: "a",
      minValue: -5n,
      state: CountState.ACTIVE,
      labels: { k: "1" },
      createTime: timestampFromMs(0),
    },
    value: { countId: "a", value: 9007199254740991n, revision: 0n },
  });
  expect(plainMessage(CountSchema, count)).toEqual({
    info: {
      count_id: "a",
      display_name: "",
      labels: { k: "1" },
      min_value: -5,
      state: "COUNT_STATE_ACTIVE",
      etag: "",
      create_time: "1970-01-01T00:00:00Z",
    },
    value: { count_id: "a", value: 9007199254740991, revision: 0 },
    source: "COUNT_SOURCE_UNSPECIFIED",
  });
});
