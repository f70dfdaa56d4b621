import { type ChangeId, unpackChange } from "../../shared/change-stream.ts";
import { bytesOf, floatsOf } from "../../shared/embedding.ts";
import { type EnrolmentName, facesMax, type FaceWriter } from "../../shared/face-writer.ts";
import type { GalleryId } from "../../shared/gallery.ts";
import { changesKey, elementName, galleryKeys, readElementName } from "../../shared/key-schema.ts";
import { defineScript } from "../../../platform/redis/script.ts";
import type { RedisStore } from "../../../platform/redis/redis-store.ts";
import { galleryNames } from "../ledger/gallery-names.ts";
import type { ErasableFaces, ProbeTemplate } from "./faces.ts";

/** Entries of the change stream that one script looks at: some KiB each, well below a millisecond of Redis' time. */
const scrubPage = 64;
/** Faces that a probe looks at. Its own would be the first of them. */
const probeCount = 64;

/**
 * Finds the puts of an enrolment among at most ARGV[3] entries after the id ARGV[1], and removes them where ARGV[4] is "1". Returns the id of the last entry that it
 * looked at (empty: there are no more) and, of each put that it found, its fields.
 */
const findPuts = defineScript<readonly [last: Buffer, puts: readonly (readonly Buffer[])[]]>({
  name: "find-puts",
  keys: 1,
  runsWhenFull: true,
  lua: `
    local page = redis.call('XRANGE', KEYS[1], '(' .. ARGV[1], '+', 'COUNT', ARGV[3])
    local puts = {}
    local ids = {}
    for _, entry in ipairs(page) do
      local fields = entry[2]
      local kind, enrolment
      for place = 1, #fields, 2 do
        if fields[place] == 'kind' then kind = fields[place + 1] end
        if fields[place] == 'enrolment' then enrolment = fields[place + 1] end
      end
      if kind == 'put' and enrolment == ARGV[2] then
        puts[#puts + 1] = fields
        ids[#ids + 1] = entry[1]
      end
    end
    if ARGV[4] == '1' and #ids > 0 then redis.call('XDEL', KEYS[1], unpack(ids)) end
    local last = ''
    if #page == tonumber(ARGV[3]) then last = page[#page][1] end
    return { last, puts }`,
});

/** Erases in the face Redis. */
export function createErasableFaces(deps: {
  readonly store: RedisStore;
  readonly writer: Pick<FaceWriter, "deny" | "remove">;
}): ErasableFaces {
  const { store, writer } = deps;
  const { client } = store;

  return {
    deny: ({ enrolmentId, branchIds, createTimeMs }) => writer.deny(enrolmentId, branchIds, createTimeMs),

    probes: async (face, galleries) => {
      const copies = await copiesOf(store, face, galleries);
      // They were taken out already, by who did not come to search for them: what told doors of them is still there.
      return copies.length > 0 ? copies : toldOf(store, face.enrolmentId);
    },

    remove: ({ memberId, enrolmentId }, galleries): Promise<ChangeId> =>
      writer.remove({ memberId, enrolmentId }, galleries),

    isFound: async (face, { gallery, template }) => {
      const { set } = galleryKeys(gallery);
      const found = (await client.call(
        "VSIM",
        set,
        "FP32",
        bytesOf(template),
        "COUNT",
        probeCount,
        "TRUTH",
      )) as readonly string[];
      const prefix = prefixOf(face);
      return found.some((name) => name.startsWith(prefix));
    },

    scrub: async ({ enrolmentId }) => {
      await putsOf(store, enrolmentId, true);
    },

    left: async ({ enrolmentId, memberId }, galleries) => {
      for (const gallery of galleries) {
        for (const source of ["set", "copy", "names"] as const) {
          for await (const names of galleryNames(store, gallery, source, memberId)) {
            const face = names.map(readElementName).find((element) => element.enrolmentId === enrolmentId);
            if (face !== undefined) return face;
          }
        }
      }
      return undefined;
    },
  };
}

/** The copies of an enrolment's faces. */
async function copiesOf(
  { client }: RedisStore,
  face: EnrolmentName,
  galleries: readonly GalleryId[],
): Promise<readonly ProbeTemplate[]> {
  const names = Array.from({ length: facesMax }, (_, index) => elementName({ ...face, index }));
  const probes: ProbeTemplate[] = [];
  for (const gallery of galleries) {
    const copies = await client.hmgetBuffer(galleryKeys(gallery).copy, ...names);
    for (const copy of copies) if (copy !== null) probes.push({ gallery, template: floatsOf(copy) });
  }
  return probes;
}

/** The templates of an enrolment that doors were told. */
async function toldOf(store: RedisStore, enrolmentId: string): Promise<readonly ProbeTemplate[]> {
  return (await putsOf(store, enrolmentId, false)).flatMap((fields) => {
    const change = unpackChange(fields);
    return change.kind === "put" ? change.templates.map((template) => ({ gallery: change.gallery, template })) : [];
  });
}

/** Goes through the change stream; gives the puts of an enrolment, and removes them where it is said so. */
async function putsOf(
  { client }: RedisStore,
  enrolmentId: string,
  remove: boolean,
): Promise<readonly (readonly Buffer[])[]> {
  const found: (readonly Buffer[])[] = [];
  for (let after = "0-0"; after !== "";) {
    const args = [after, enrolmentId, scrubPage, remove ? "1" : "0"];
    const [last, puts] = await findPuts.run(client, [changesKey], args);
    found.push(...puts);
    after = last.toString();
  }
  return found;
}

/** What the names of an enrolment's faces begin with. */
function prefixOf({ memberId, enrolmentId }: EnrolmentName): string {
  return elementName({ memberId, enrolmentId, index: 0 }).slice(0, -1);
}
