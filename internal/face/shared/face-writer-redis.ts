import { MuinError } from "../../platform/errors/muin-error.ts";
import type { RedisStore } from "../../platform/redis/redis-store.ts";
import { defineScript } from "../../platform/redis/script.ts";
import { type FaceChange, packChange } from "./change-stream.ts";
import { bytesOf } from "./embedding.ts";
import { type EnrolmentName, facesMax, type FaceWriter } from "./face-writer.ts";
import { activeFields, type ActiveGallery, type GalleryId, readActiveGallery, writeFaceModel } from "./gallery.ts";
import { activeKey, changesKey, denyKey, elementName, errorMember, galleryKeys, modelKey } from "./key-schema.ts";
import { quantisationError } from "./quantisation.ts";

/**
 * Changes that the stream keeps, about: of one face of 512 numbers each 20 MB, and of ten of 2048 at most 800. Whoever falls further behind loads anew.
 */
export const changesKeptMin = 10_000;
const trim = ["MAXLEN", "~", changesKeptMin] as const;

/**
 * The graph over a vector set, which VSIM ... TRUTH does not use: as small as Redis makes it, so that writing a face takes little and a restart, which
 * inserts all faces again, does not take minutes. All faces of a set must be written with the same `M`.
 */
const leastGraph = ["M", 4, "EF", 4] as const;

/** For so long doors decide by the former model too, for devices that have not changed theirs. */
const handoverMs = 600_000;

/** Faces that a gallery is rid of in one step. */
const dropStepFaces = 64;

/** Writes to the face Redis at `store`, as `FaceWriter` says. */
export function createFaceWriter(store: RedisStore): FaceWriter {
  const { client } = store;
  return {
    put: async (enrolment, faces) => {
      const commands: Command[] = [];
      for (const { gallery, templates } of faces) {
        checkTemplates(templates);
        commands.push(...removal(enrolment, gallery), ...insertion(enrolment, gallery, templates));
        commands.push(tell({ kind: "put", gallery, ...enrolment, templates }));
      }
      return await lastChange(store, commands);
    },
    remove: (enrolment, galleries) =>
      lastChange(
        store,
        galleries.flatMap((gallery) => [
          ...removal(enrolment, gallery),
          tell({ kind: "remove", gallery, ...enrolment }),
        ]),
      ),
    deny: (enrolmentId, branchIds, atMs) =>
      lastChange(
        store,
        branchIds.flatMap((branchId): Command[] => [
          ["HSET", denyKey(branchId), enrolmentId, atMs],
          tell({ kind: "deny", branchId, enrolmentId, atMs }),
        ]),
      ),
    forgetDenials: async (branchId, enrolmentIds) => {
      if (enrolmentIds.length > 0) await client.hdel(denyKey(branchId), ...enrolmentIds);
    },
    activate: async (gallery, ifRevision) => {
      const { branchId } = gallery;
      const active: ActiveGallery = { ...gallery, revision: ifRevision + 1 };
      const reply = await activateScript.run(
        client,
        [activeKey(branchId), changesKey],
        [
          ifRevision,
          gallery.modelId,
          gallery.generation,
          gallery.keyId,
          changesKeptMin,
          ...packChange({ kind: "gallery", active }),
        ],
      );
      if (Array.isArray(reply)) return { kind: "conflict", active: readActiveGallery(branchId, reply) };
      return { kind: "done", active, changeId: reply.toString() };
    },
    putModel: async (model) => {
      const change = packChange({ kind: "model", model });
      const fields = writeFaceModel(model);
      const reply = await modelScript.run(
        client,
        [modelKey(model.modelId), changesKey],
        [model.revision, changesKeptMin, fields.length, ...fields, ...change],
      );
      return reply === null ? { kind: "stale" } : { kind: "done", changeId: reply.toString() };
    },
    dropGallery: async (gallery, signal) => {
      const changeId = await lastChange(store, [tell({ kind: "drop", gallery })]);
      const { set, copy, names, error } = galleryKeys(gallery);
      for (;;) {
        signal.throwIfAborted();
        const step = await client.zrange(names, 0, String(dropStepFaces - 1));
        if (step.length === 0) break;
        await transact(store, [
          ...step.map((name): Command => ["VREM", set, name]),
          ["HDEL", copy, ...step],
          ["ZREM", names, ...step],
        ]);
      }
      await client.unlink(set, copy, names, error); // Redis frees a vector set at once, however large: none is left by now.
      return changeId;
    },
    readActive: async (branchId) =>
      readActiveGallery(branchId, await client.hmget(activeKey(branchId), ...activeFields)),
  };
}

type Command = readonly [name: string, ...args: (string | number | Buffer)[]];

function checkTemplates(templates: readonly Float32Array[]): void {
  const [first] = templates;
  if (first === undefined || templates.length > facesMax) throw new Error(`an enrolment has 1 to ${facesMax} faces`);
  // A command that fails would leave the others of its MULTI done.
  if (templates.some(({ length }) => length !== first.length)) throw new Error("templates of different lengths");
}

/** Takes away whatever faces the enrolment has. */
function removal(enrolment: EnrolmentName, gallery: GalleryId): readonly Command[] {
  const { set, copy, names } = galleryKeys(gallery);
  const elements = Array.from({ length: facesMax }, (_, index) => elementName({ ...enrolment, index }));
  return [
    ...elements.map((element): Command => ["VREM", set, element]),
    ["HDEL", copy, ...elements],
    ["ZREM", names, ...elements],
  ];
}

/** Adds faces that are not there: Redis 8.10 keeps a VADD of an element that exists to itself, and the next start would not know of it. */
function insertion(
  enrolment: EnrolmentName,
  gallery: GalleryId,
  templates: readonly Float32Array[],
): readonly Command[] {
  const { set, copy, names, error } = galleryKeys(gallery);
  return [
    ...templates.flatMap((template, index): Command[] => {
      const element = elementName({ ...enrolment, index });
      return [
        ["VADD", set, "FP32", bytesOf(template), element, "Q8", ...leastGraph],
        ["HSET", copy, element, bytesOf(template)],
        ["ZADD", names, 0, element],
      ];
    }),
    ["ZADD", error, "GT", Math.max(...templates.map(quantisationError)), errorMember],
  ];
}

function tell(change: FaceChange): Command {
  return ["XADD", changesKey, ...trim, "*", ...packChange(change)];
}

/** Runs commands of which the last is an XADD; returns what that made. */
async function lastChange(store: RedisStore, commands: readonly Command[]): Promise<string> {
  if (commands.length === 0) throw new Error("a write of nothing");
  return (await transact(store, commands)).at(-1) as string;
}

/** Runs commands in one step. */
async function transact({ client }: RedisStore, commands: readonly Command[]): Promise<readonly unknown[]> {
  const multi = client.multi();
  for (const [name, ...args] of commands) multi.call(name, ...args);
  let replies: [error: Error | null, reply: unknown][] | null;
  try {
    replies = await multi.exec();
  } catch (error) {
    throw refusalOf(error);
  }
  return (replies ?? []).map(([error, reply]) => {
    if (error !== null) throw error;
    return reply;
  });
}

/** A command that is refused when it is queued ends the whole, and the error of the whole does not say why. */
function refusalOf(error: unknown): unknown {
  const { previousErrors = [] } = error as { readonly previousErrors?: readonly unknown[] };
  return previousErrors.find((previous) => previous instanceof MuinError) ?? error;
}

/** Replies the entry's id, or the record as it is when it has another revision than it should. */
const activateScript = defineScript<Buffer | (Buffer | null)[]>({
  name: "face-activate",
  keys: 2,
  lua: `
local held = redis.call('HMGET', KEYS[1], 'model', 'generation', 'key_id', 'revision')
local revision, wanted = tonumber(held[4] or '0'), tonumber(ARGV[1])
local is_done = revision == wanted + 1 and held[1] == ARGV[2] and held[2] == ARGV[3] and held[3] == ARGV[4]
if revision ~= wanted and not is_done then return held end
local entry = {}
for place = 6, #ARGV do entry[#entry + 1] = ARGV[place] end
if held[1] and held[1] ~= ARGV[2] then
  local till = redis.call('TIME')[1] * 1000 + ${handoverMs}
  redis.call('HSET', KEYS[1], 'former_model', held[1], 'former_generation', held[2], 'former_key_id', held[3], 'former_until_ms', till)
end
redis.call('HSET', KEYS[1], 'model', ARGV[2], 'generation', ARGV[3], 'key_id', ARGV[4], 'revision', wanted + 1)
return redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[5], '*', unpack(entry))
`,
});

/** Replies the entry's id, or nothing when the store has a later revision. */
const modelScript = defineScript<Buffer | null>({
  name: "face-model",
  keys: 2,
  lua: `
if tonumber(redis.call('HGET', KEYS[1], 'revision') or '0') > tonumber(ARGV[1]) then return false end
local fields, entry = {}, {}
local first = 4 + tonumber(ARGV[3])
for place = 4, #ARGV do
  local list = place < first and fields or entry
  list[#list + 1] = ARGV[place]
end
redis.call('HSET', KEYS[1], unpack(fields))
return redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[2], '*', unpack(entry))
`,
});
