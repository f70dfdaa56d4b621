// Who may import whom, held by `bun run layers`. An import of a type counts as one of a value. Each rule says why it stands.

/**
 * The floors of `internal/platform`, from the ground up. A folder imports folders of lower floors only: neither those above it nor
 * those beside it. A new folder gets its place here.
 */
const floors = [
  ["clock", "errors", "config", "cache"],
  ["telemetry"],
  ["lifecycle"],
  ["tls"],
  ["postgres", "redis", "mail"],
  ["lease"],
  ["identity"],
  ["service"],
  ["resource"],
  ["events"],
  ["rpc/call"],
  ["rpc/universal"],
  ["rpc/connect", "rpc/grpc", "rpc/rest", "rpc/local"],
  ["rpc/client", "rpc/server"],
  ["catalog"],
  ["local"],
  ["runtime"],
  ["testing"],
];

/**
 * Imports that a rule allows all the same, by the rule's name: which file may see what, and why. `layers.test.ts` fails on one that is
 * not needed any more.
 */
export const exceptions = {
  "cmd-sees-definitions": [
    {
      file: "bench/counts/write-path.ts",
      sees: [
        "internal/count/write/config.ts",
        "internal/count/write/write/writer.ts",
        "internal/count/write/relay/relay.ts",
        "internal/count/shared/count-states.ts",
        "internal/count/shared/count-store.ts",
        "internal/count/shared/key-schema.ts",
        "internal/count/shared/read-values.ts",
      ],
      why: "loads writer and relay without the process around them, and reads past the service what became of the Counts",
    },
    {
      file: "bench/door/engines.ts",
      sees: [
        "internal/face/access/snapshot/hedge.ts",
        "internal/face/access/snapshot/meters.ts",
        "internal/face/access/snapshot/records.ts",
        "internal/face/access/snapshot/rows.ts",
        "internal/face/access/snapshot/scan-memory.ts",
        "internal/face/access/snapshot/scan-pages.ts",
        "internal/face/access/snapshot/search.ts",
        "internal/face/access/snapshot/snapshots.ts",
        "internal/face/access/snapshot/store-health.ts",
        "internal/face/shared/change-reader.ts",
        "internal/face/shared/embedding.ts",
        "internal/face/shared/face-engine.ts",
        "internal/face/shared/key-schema.ts",
        "internal/face/shared/store-engine.ts",
      ],
      why: "loads each engine by itself, side by side, without the service around it",
    },
    {
      file: "bench/door/galleries.ts",
      sees: [
        "internal/face/shared/embedding.ts",
        "internal/face/shared/face-writer-redis.ts",
        "internal/face/shared/face-writer.ts",
        "internal/face/shared/fresh.ts",
        "internal/face/shared/gallery.ts",
        "internal/face/shared/template.ts",
      ],
      why: "makes galleries of many thousands of faces in seconds, as mlops writes them",
    },
    {
      file: "bench/door/engine-load.ts",
      sees: ["internal/face/shared/face-engine.ts"],
      why: "asks an engine",
    },
    {
      file: "bench/door/javascript-engine.ts",
      sees: [
        "internal/face/shared/embedding.ts",
        "internal/face/shared/face-engine.ts",
        "internal/face/shared/key-schema.ts",
      ],
      why: "is an engine of the bench's own, over the same faces",
    },
    {
      file: "bench/door/muin-door.ts",
      sees: [
        "internal/face/access/copies/store-redis.ts",
        "internal/face/shared/embedding.ts",
        "internal/face/shared/face-writer-redis.ts",
        "internal/face/shared/face-writer.ts",
        "internal/face/shared/template.ts",
      ],
      why: "fills the galleries of a running installation past its services: twenty thousand people would be signed up for an hour",
    },
    {
      file: "bench/door/rpc-events.ts",
      sees: ["internal/face/shared/embedding.ts"],
      why: "sends embeddings",
    },
    {
      file: "bench/door/peer-sets.ts",
      sees: ["internal/face/shared/embedding.ts", "internal/face/shared/face-engine.ts"],
      why: "is an engine of the bench's own, over the same faces",
    },
    {
      file: "bench/door/writes-load.ts",
      sees: [
        "internal/face/shared/face-engine.ts",
        "internal/face/shared/face-writer-redis.ts",
        "internal/face/shared/instances.ts",
      ],
      why: "times writes to the face store until every process decides by them",
    },
  ],
};

const platform = "^internal/platform/";
const domains = "^internal/(identity|count|face|operations|discovery|community)/";

/** What tests alone use: they themselves, their fixtures, contracts and data, and programs that they start. */
const testCode = [
  String.raw`\.test\.ts$`,
  String.raw`-fixture\.ts$`,
  String.raw`\.contract\.ts$`,
  String.raw`-(child|worker)\.ts$`,
  "/testdata/",
  "^internal/platform/testing/",
  "^internal/(system|tools)/",
];

const anyFloor = `${platform}(${floors.flat().join("|")})/`;

/** One rule per folder: what it imports of the platform lies on a lower floor. */
function floorRules() {
  return floors.flatMap((floor, index) =>
    floor.map((folder) => ({
      name: `floor-of-${folder.replace("/", "-")}`,
      comment:
        "Floors of the platform import downward only: a lower one can be read, tested and changed without those above.",
      severity: "error",
      from: { path: `${platform}${folder}/`, pathNot: testCode },
      to: { path: platform, pathNot: `${platform}(${[folder, ...floors.slice(0, index).flat()].join("|")})/` },
    })),
  );
}

const listed = (paths) => [paths ?? []].flat();
const exactly = (path) => `(^|/)${RegExp.escape(path)}$`;

/** The rule, and for each of its exceptions one that allows just that. */
function withExceptions({ from, to, ...rule }) {
  const allowed = exceptions[rule.name] ?? [];
  const others = [...listed(from.pathNot), ...allowed.map(({ file }) => exactly(file))];
  const general = { ...rule, from: { ...from, pathNot: others }, to };
  const special = allowed.map(({ file, sees }) =>
    Object.assign({}, rule, {
      from: { path: exactly(file) },
      to: Object.assign({}, to, { pathNot: [...listed(to.pathNot), ...sees.map(exactly)] }),
    }),
  );
  return [general, ...special];
}

const rules = [
  ...floorRules(),
  {
    name: "every-folder-has-a-floor",
    comment: "A folder of the platform without a floor would be held by no rule: give it a place in the list.",
    severity: "error",
    from: { path: platform, pathNot: [anyFloor, "/testdata/"] },
    to: {},
  },
  {
    name: "broker-is-opened-by-its-url",
    comment:
      "Whoever publishes, consumes or holds a lease knows the interface; which server stands behind it is known to its opener alone, and to who derives the rights on it.",
    severity: "error",
    from: {
      path: "^internal/",
      pathNot: [
        ...testCode,
        `${platform}(events|lease)/redis/`,
        `${platform}(events/open-broker|lease/open-leases|catalog/bus-rights)\\.ts$`,
      ],
    },
    to: { path: `${platform}(events|lease)/redis/` },
  },
  {
    name: "platform-knows-no-domain",
    comment: "The platform serves every domain; it learns of services only through the declarations it is given.",
    severity: "error",
    from: { path: platform },
    to: {
      path: "^(internal/(catalog|shared|system|tools|identity|count|face|operations|discovery|community)|cmd|bench)(/|\\.ts$)",
    },
  },
  {
    name: "platform-knows-no-protos-of-domains",
    comment: "Of the domains' contracts the platform knows the one by which it verifies callers, in identity alone.",
    severity: "error",
    from: { path: platform, pathNot: [...testCode, `${platform}identity/`] },
    to: { path: "^internal/gen/muin/", pathNot: "^internal/gen/muin/platform/" },
  },
  {
    name: "identity-knows-its-contract",
    comment: "The one contract of a domain that the platform knows is that of identity.",
    severity: "error",
    from: { path: `${platform}identity/`, pathNot: testCode },
    to: { path: "^internal/gen/muin/", pathNot: "^internal/gen/muin/(platform|identity)/" },
  },
  {
    name: "domains-never-import-each-other",
    comment: "Domains meet in protos and events, so that one can change and be redeployed with no other touched.",
    severity: "error",
    from: { path: domains },
    to: { path: domains, pathNot: "^internal/$1/" },
  },
  {
    name: "services-never-import-each-other",
    comment: "Within a domain only shared/ is common: a service's rules and tables are its own.",
    severity: "error",
    from: { path: `${domains}([^/]+)/` },
    to: { path: domains, pathNot: ["^internal/$1/$2/", "^internal/$1/shared/"] },
  },
  {
    name: "shared-knows-no-service",
    comment: "What domains share stands below them all.",
    severity: "error",
    from: { path: "^internal/shared/" },
    to: { path: ["^internal/catalog\\.ts$", domains] },
  },
  {
    name: "domain-shared-knows-no-service",
    comment: "What a domain's services share stands below them.",
    severity: "error",
    from: { path: `${domains}shared/` },
    to: { path: domains, pathNot: "^internal/$1/shared/" },
  },
  {
    name: "domains-see-no-driver",
    comment:
      "A service reaches stores, brokers and networks through what the platform gives it: it opens nothing itself.",
    severity: "error",
    from: { path: ["^internal/shared/", domains], pathNot: testCode },
    to: {
      path: [
        "node_modules/(postgres|ioredis|kafkajs|@elastic/elasticsearch|@grpc/grpc-js|@connectrpc/connect-node|nodemailer|pino|prom-client)(/|$)",
        "^(node:)?(net|tls|dgram|dns|http|https|http2|child_process|cluster|worker_threads)(/|$)",
        "^bun:(sqlite|ffi|sql)$",
      ],
    },
  },
  {
    name: "nothing-imports-cmd",
    comment: "cmd is the outermost layer: it takes a definition and runs it.",
    severity: "error",
    from: { path: "^internal/" },
    to: { path: "^(cmd|bench)/" },
  },
  {
    name: "cmd-sees-definitions",
    comment: "A service is its definition. What stands behind it can change with no program touched.",
    severity: "error",
    from: { path: "^(cmd|bench)/" },
    to: { path: domains, pathNot: "/definition\\.ts$" },
  },
  {
    name: "tests-stay-outside",
    comment: "Shipped code never depends on test code, nor on the scripts behind bun run.",
    severity: "error",
    from: { path: "^(internal|cmd)/", pathNot: testCode },
    to: { path: testCode },
  },
  {
    name: "no-circular",
    comment: "A cycle means two files are one idea, or one idea stands in the wrong file.",
    severity: "error",
    from: {},
    to: { circular: true },
  },
  {
    name: "unresolvable",
    comment: "An import that resolves to nothing.",
    severity: "error",
    from: {},
    to: { couldNotResolve: true, pathNot: "^bun(:|$)" },
  },
];

export default {
  forbidden: rules.flatMap(withExceptions),
  options: {
    tsPreCompilationDeps: true,
    tsConfig: { fileName: "tsconfig.json" },
    doNotFollow: { path: ["node_modules", "^internal/gen/"] },
    enhancedResolveOptions: {
      exportsFields: ["exports"],
      conditionNames: ["import", "require", "node", "default", "types"],
      mainFields: ["module", "main", "types"],
    },
  },
};
