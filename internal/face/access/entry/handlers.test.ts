import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { Code, ConnectError } from "@connectrpc/connect";
import { ErrorInfoSchema } from "../../../gen/google/rpc/error_details_pb.ts";
import type { WatchEntriesResponse } from "../../../gen/muin/face/v1/access_service_pb.ts";
import { EntryKind } from "../../../gen/muin/face/v1/entry_pb.ts";
import { UserStatus } from "../../../gen/muin/identity/v1/user_pb.ts";
import type { Caller } from "../../../platform/identity/caller.ts";
import { eventually } from "../../../platform/testing/eventually.ts";
import { sharedRedis } from "../../../platform/testing/redis.ts";
import { reader, seenAgain, startAccess, type AccessFixture } from "../access-fixture.ts";

setDefaultTimeout(30_000);

let service: AccessFixture;
beforeAll(async () => {
  service = await startAccess((await sharedRedis()).url);
});
afterAll(() => service[Symbol.asyncDispose]());

const personOf = (id: string): Caller => ({
  kind: "person",
  id,
  principal: `person:${id}`,
  scopes: new Set(),
  sessionId: `session of ${id}`,
});
const outcomeOf = async (call: Promise<unknown>): Promise<string> => {
  try {
    await call;
    return "ok";
  } catch (error) {
    const failure = ConnectError.from(error);
    return `${Code[failure.code]} ${failure.findDetails(ErrorInfoSchema)[0]?.reason ?? failure.rawMessage}`;
  }
};

/** A branch with an owner and staff, at whose door somebody came in and went out. */
async function visited() {
  const owner = crypto.randomUUID();
  const branchId = await service.newBranch({ ownerId: owner });
  const [member, staff] = [await service.newMember(branchId), await service.newMember(branchId)];
  await service.changeBranch(branchId, { ownerId: owner }, [staff.id]);
  const device = service.newDevice(branchId);
  const { entryId } = await service.identify(device, { embedding: seenAgain(member.embedding) });
  const exitId = await service.exit(device, branchId, member.id);
  await eventually(() => service.entry(exitId));
  return { branchId, owner, member: member.id, staff: staff.id, entryId, exitId, device };
}

describe("entries", () => {
  test("are read by who may, and by nobody else", async () => {
    const { branchId, owner, member, staff, entryId } = await visited();
    const stranger = crypto.randomUUID();
    for (const caller of [reader, ...[owner, member, staff].map(personOf)]) {
      const { entry } = await service.entries(caller).getEntry({ entryId });
      expect(entry?.branchId).toBe(branchId);
    }
    const forbidden = "PermissionDenied ENTRY_FORBIDDEN";
    const noScope: Caller = { ...reader, scopes: new Set() } as Caller;
    for (const caller of [personOf(stranger), noScope]) {
      expect(await outcomeOf(service.entries(caller).getEntry({ entryId }))).toBe(forbidden);
      expect(await outcomeOf(service.entries(caller).getEntry({ entryId: "none" }))).toBe(forbidden);
      expect(await outcomeOf(service.entries(caller).listEntries({ filter: { branchId } }))).toBe(forbidden);
      expect(await outcomeOf(service.entries(caller).listEntries({ filter: { memberId: member } }))).toBe(forbidden);
    }
    expect(await outcomeOf(service.entries(reader).getEntry({ entryId: "none" }))).toBe("NotFound ENTRY_NOT_FOUND");
    expect((await service.entries(personOf(stranger)).listEntries({})).entries).toEqual([]);
    await service.statusChanged(staff, UserStatus.SUSPENDED, 1n);
    expect(await outcomeOf(service.entries(personOf(staff)).listEntries({ filter: { branchId } }))).toBe(forbidden);
  });

  test("are listed newest first, with filters and pages", async () => {
    const { branchId, owner, member, entryId, exitId } = await visited();
    const ids = async (caller: Caller, filter: object, pageSize = 0) => {
      const found: string[] = [];
      for (let pageToken = ""; ;) {
        const page = await service.entries(caller).listEntries({ filter, pageSize, pageToken });
        found.push(...page.entries.map((entry) => entry.entryId));
        if (page.nextPageToken === "") return found;
        pageToken = page.nextPageToken;
      }
    };
    expect(await ids(personOf(owner), { branchId })).toEqual([exitId, entryId]);
    expect(await ids(personOf(owner), { branchId }, 1)).toEqual([exitId, entryId]);
    expect(await ids(personOf(member), {})).toEqual([exitId, entryId]);
    expect(await ids(reader, { memberId: member, kind: EntryKind.EXIT })).toEqual([exitId]);
    const { nextPageToken } = await service.entries(reader).listEntries({ filter: { branchId }, pageSize: 1 });
    const elsewhere = service.entries(reader).listEntries({ filter: {}, pageSize: 1, pageToken: nextPageToken });
    expect(await outcomeOf(elsewhere)).toBe("InvalidArgument PAGE_TOKEN_INVALID");
  });
});

/** Reads messages until there are so many entries; says which, and where to go on. */
async function watch(
  caller: Caller,
  filter: object,
  resumeToken: string,
  count: number,
  onFirst: () => unknown = () => undefined,
): Promise<{ readonly ids: readonly string[]; readonly token: string }> {
  const ending = new AbortController();
  const stream: AsyncIterable<WatchEntriesResponse> = service
    .entries(caller)
    .watchEntries({ filter, resumeToken }, { signal: ending.signal });
  const ids: string[] = [];
  let token = "";
  let isFirst = true;
  for await (const message of stream) {
    if (isFirst) void onFirst();
    isFirst = false;
    ids.push(...message.entries.map((entry) => entry.entryId));
    token = message.resumeToken;
    if (ids.length >= count) break;
  }
  ending.abort();
  return { ids, token };
}

describe("a watch", () => {
  test("tells what is recorded, goes on where it ended, and leaves out nothing", async () => {
    const { branchId, owner, device, member } = await visited();
    const told: string[] = [];
    const first = await watch(personOf(owner), { branchId }, "", 1, async () => {
      told.push(await service.exit(device, branchId, member));
    });
    expect(first.ids).toEqual(told);
    const missed = await Promise.all(Array.from({ length: 10 }, () => service.exit(device, branchId, member)));
    const second = await watch(personOf(owner), { branchId }, first.token, 10);
    expect(second.ids.toSorted()).toEqual(missed.toSorted());
    const strange = watch(personOf(owner), { branchId, kind: EntryKind.EXIT }, second.token, 1);
    expect(await outcomeOf(strange)).toBe("InvalidArgument RESUME_TOKEN_INVALID");
  });

  test("is one of so many of a caller; another caller has their own, and one that ends makes room", async () => {
    const { branchId, owner, member } = await visited();
    const ending = new AbortController();
    const open = (caller: Caller): AsyncIterator<WatchEntriesResponse> => {
      const stream = service.entries(caller).watchEntries({ filter: { branchId } }, { signal: ending.signal });
      return stream[Symbol.asyncIterator]();
    };
    const streams = Array.from({ length: 16 }, () => open(personOf(owner)));
    await Promise.all(streams.map((stream) => stream.next()));
    expect(await outcomeOf(open(personOf(owner)).next())).toBe("ResourceExhausted WATCHES_EXCEEDED");
    await watch(personOf(member), {}, "", 0);
    ending.abort();
    await Promise.all(streams.map((stream) => stream.next().catch(() => undefined)));
    await eventually(() => watch(personOf(owner), { branchId }, "", 0));
  });

  test("is refused to who may not, and after entries behind it were removed", async () => {
    const { branchId, device, member } = await visited();
    const refused = watch(personOf("stranger"), { branchId }, "", 1);
    expect(await outcomeOf(refused)).toBe("PermissionDenied ENTRY_FORBIDDEN");
    const { token } = await watch(reader, { branchId }, "", 0);
    const exitId = await service.exit(device, branchId, member);
    await eventually(() => service.entry(exitId));
    await service.database.sql`UPDATE entry_removal SET sequence = (SELECT max(sequence) FROM entries)`;
    expect(await outcomeOf(watch(reader, { branchId }, token, 1))).toBe("OutOfRange RESUME_TOKEN_TOO_OLD");
  });
});
