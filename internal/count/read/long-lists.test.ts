import { expect, test } from "bun:test";
import { CountReadService } from "../../gen/muin/count/v1/count_read_service_pb.ts";
import { serve } from "../../platform/service/parts.ts";
import { startHttpServer } from "../../platform/testing/http-server.ts";

const caller = { kind: "api_key", id: "k1", principal: "api_key:k1", scopes: new Set(["counts.read"]) } as const;
const served = serve(CountReadService, {
  getCount: () => ({}),
  batchGetCounts: ({ countIds }) => ({ missingCountIds: countIds }),
});

test("a list of ids that is too long for a URL is read from the body of a POST", async () => {
  await using server = await startHttpServer([served], { caller });
  const headers = { authorization: "Bearer good", "content-type": "application/json" };
  const countIds = Array.from({ length: 1000 }, (_, index) => `a-count-with-a-long-name-${index}`);
  const url = `${server.url}/api/v1/counts:batchGet`;
  const query = countIds.slice(0, 600).map((countId) => `count_ids=${countId}`);
  const tooLong = await fetch(`${url}?${query.join("&")}`, { headers });
  expect([tooLong.status, await tooLong.text()]).toEqual([
    431,
    expect.stringContaining("send a long list in the body of a POST"),
  ]);
  const posted = await fetch(url, { method: "POST", headers, body: JSON.stringify({ countIds, maxStaleness: "0s" }) });
  expect([posted.status, await posted.json()]).toEqual([200, { counts: [], missingCountIds: countIds }]);
});
