import { describe, expect, test } from "bun:test";
import { CountCreatedSchema } from "../../gen/muin/count/v1/count_info_events_pb.ts";
import { CountReadService } from "../../gen/muin/count/v1/count_read_service_pb.ts";
import { ApiKeyService } from "../../gen/muin/identity/v1/api_key_service_pb.ts";
import { everyInstance } from "../service/consumption.ts";
import type { ServiceInfo } from "../service/define-service.ts";
import { createGraph, graphToMermaid } from "./graph.ts";
import { topology } from "./topology.ts";
import { rpcs } from "../service/rpcs.ts";
import { postgres, postgresViews, redis } from "../service/stores.ts";

const bare: Omit<ServiceInfo, "name"> = {
  summary: "",
  hot: [],
  serves: [],
  calls: {},
  stores: {},
  publishes: [],
  republishes: [],
  consumes: [],
  config: {},
  errors: {},
  personalData: "none",
  standsAlone: false,
  create: () => [],
};

const catalog: readonly ServiceInfo[] = [
  {
    ...bare,
    name: "owner",
    stores: { own: postgres({ database: "infos", migrations: [] }) },
    publishes: [CountCreatedSchema],
  },
  {
    ...bare,
    name: "reader",
    summary: "Reads.",
    hot: [],
    serves: [CountReadService],
    calls: { keys: rpcs(ApiKeyService, ["verifyApiKey"]) },
    stores: {
      view: postgresViews({ database: "infos", views: ["v"] }),
      counts: redis("counts", "read-only", { keys: ["c:*"], role: "replica" }),
    },
    consumes: [everyInstance(CountCreatedSchema)],
  },
  { ...bare, name: "caller", calls: { read: rpcs(CountReadService, ["batchGetCounts", "getCount"]) } },
];

describe("createGraph", () => {
  test("derives who uses what from the declarations", () => {
    expect(createGraph(topology(catalog))).toEqual({
      services: [
        { name: "owner", summary: "", serves: [] },
        { name: "reader", summary: "Reads.", serves: ["muin.count.v1.CountReadService"] },
        { name: "caller", summary: "", serves: [] },
      ],
      stores: [
        { name: "counts replica", kind: "redis", replicaOf: "counts" },
        { name: "infos", kind: "postgres" },
      ],
      uses: [
        { service: "owner", store: "infos", access: "owner" },
        { service: "reader", store: "infos", access: "read-only" },
        { service: "reader", store: "counts replica", access: "read-only" },
      ],
      calls: [
        {
          caller: "reader",
          callee: undefined,
          rpcService: "muin.identity.v1.ApiKeyService",
          methods: ["VerifyApiKey"],
        },
        {
          caller: "caller",
          callee: "reader",
          rpcService: "muin.count.v1.CountReadService",
          methods: ["GetCount", "BatchGetCounts"],
        },
      ],
      events: [
        {
          message: "muin.count.v1.CountCreated",
          topic: "count.info",
          publishers: ["owner"],
          consumers: [{ service: "reader", kind: "everyInstance" }],
        },
      ],
    });
  });

  test("draws itself", () => {
    expect(graphToMermaid(createGraph(topology(catalog))).split("\n")).toEqual([
      "flowchart LR",
      '  service_owner["owner"]',
      '  service_reader["reader"]',
      '  service_caller["caller"]',
      '  store_counts_replica[("counts replica<br/>redis")]',
      '  store_infos[("infos<br/>postgres")]',
      '  topic_count_info{{"count.info"}}',
      "  service_owner --> store_infos",
      "  service_reader -. reads .-> store_infos",
      "  service_reader -. reads .-> store_counts_replica",
      '  service_caller == "CountReadService: GetCount, BatchGetCounts" ==> service_reader',
      "  service_owner --> topic_count_info",
      "  topic_count_info --> service_reader",
    ]);
  });

  test("shows what a replica follows", () => {
    const writer: ServiceInfo = {
      ...bare,
      name: "writer",
      stores: { counts: redis("counts", "read-write", { keys: ["c:*"] }) },
    };
    expect(graphToMermaid(createGraph(topology([...catalog, writer]))).split("\n")).toContain(
      "  store_counts -. replicates .-> store_counts_replica",
    );
  });
});
