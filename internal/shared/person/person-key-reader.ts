import { AsyncLocalStorage } from "node:async_hooks";
import type { DescMessage, MessageShape } from "@bufbuild/protobuf";
import type { Client } from "@connectrpc/connect";
import type { PersonKeyService } from "../../gen/muin/identity/v1/person_key_service_pb.ts";
import type { Sealed } from "../../gen/muin/platform/v1/sealed_pb.ts";
import { createLruMap } from "../../platform/cache/lru-map.ts";
import type { Clock } from "../../platform/clock/clock.ts";
import { openPersonal, type PersonKey } from "./person-seal.ts";

/** Reads people's keys from auth, and remembers them for a moment. */
export interface PersonKeyReader {
  /** The person's key; `undefined` when it was destroyed. Rejects when auth cannot be asked, or knows of no such person. */
  keyOf(personId: string): Promise<PersonKey | undefined>;
  /**
   * Opens personal fields; `undefined` when the person's key was destroyed: treat them as erased, and acknowledge. Rejects when
   * auth cannot be asked (try again), when it knows of no such person, and when the fields were altered.
   */
  open<M extends DescMessage>(schema: M, sealed: Sealed): Promise<MessageShape<M> | undefined>;
}

/** A destroyed key may be used so long after its destruction, by who had asked for it before. */
const keyLifeMs = 60_000;
const keysMax = 10_000;
/** What one call of GetPersonKeys may name. */
const personIdsMax = 1000;

interface Known {
  readonly key: PersonKey | undefined;
  readonly untilMs: number;
}

/** Makes a reader that knows no key yet. Keys that are asked for in one turn of the event loop travel together. */
export function createPersonKeyReader(deps: {
  readonly keys: Pick<Client<typeof PersonKeyService>, "getPersonKeys">;
  readonly clock: Pick<Clock, "monotonic">;
}): PersonKeyReader {
  const { keys, clock } = deps;
  const known = createLruMap<Known>(keysMax);
  let gathering: { readonly personIds: Set<string>; readonly answer: Promise<ReadonlyMap<string, Known>> } | undefined;

  // Shared by several who ask: it ends neither with the call that one of them serves nor by its deadline.
  const apart = AsyncLocalStorage.snapshot();
  const ask = async (personIds: ReadonlySet<string>): Promise<ReadonlyMap<string, Known>> => {
    await Promise.resolve(); // Until then, more may join.
    gathering = undefined;
    const untilMs = clock.monotonic() + keyLifeMs;
    const { personKeys } = await keys.getPersonKeys({ personIds: [...personIds] });
    const answer = new Map<string, Known>();
    for (const { personId, key, destroyed } of personKeys) {
      if (!destroyed && key.length === 0) continue;
      const found = { key: destroyed ? undefined : { personId, key }, untilMs };
      answer.set(personId, found);
      known.set(personId, found);
    }
    return answer;
  };

  const keyOf = async (personId: string): Promise<PersonKey | undefined> => {
    const remembered = known.get(personId);
    if (remembered !== undefined && clock.monotonic() < remembered.untilMs) return remembered.key;
    if (gathering === undefined || gathering.personIds.size >= personIdsMax) {
      const personIds = new Set<string>();
      gathering = { personIds, answer: apart(() => ask(personIds)) };
    }
    gathering.personIds.add(personId);
    const found = (await gathering.answer).get(personId);
    if (found === undefined) throw new Error(`auth knows of no person ${personId}`);
    return found.key;
  };

  return {
    keyOf,
    open: async (schema, sealed) => {
      const person = await keyOf(sealed.personId);
      return person && openPersonal(schema, sealed, person.key);
    },
  };
}
