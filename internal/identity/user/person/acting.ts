import type { Client } from "@connectrpc/connect";
import type { ScopeService } from "../../../gen/muin/identity/v1/scope_service_pb.ts";
import { scopes as knownScopes } from "../../../gen/scopes.ts";
import type { Refusal } from "../../../platform/errors/refusal.ts";
import type { Caller } from "../../../platform/identity/caller.ts";
import { personIdOf, refusalToActOn, scopesOfCaller } from "../../../platform/resource/caller-scopes.ts";
import { userErrors } from "../errors.ts";
import { scopesOfRoles, type Change, type Person } from "./person.ts";

/** Why the caller may not act on the person, by `refusalToActOn`; `undefined` when they may. */
export type Judgement = (person: Pick<Person, "userId" | "roles">) => Refusal<"personHoldsMore"> | undefined;

/** The one judgement of who may act on whom: every method that acts on somebody else goes through it. */
export interface Acting {
  /**
   * Judges by all that the person holds: what auth says now, roles and grants alike, and what their roles give, of which auth may not have
   * heard yet. Throws UNAVAILABLE, reason IDENTITY_UNAVAILABLE, while auth cannot be asked. It need not be for who acts on themself, nor for
   * who holds every scope there is: so administrators suspend whom they must while auth is away.
   */
  judge(caller: Caller, userId: string): Promise<Judgement>;
  /** The change as this caller makes it. */
  by(caller: Caller, userId: string, change: Change): Promise<Change>;
}

/**
 * Asks auth each time. A copy by events would be a moment behind, or hours while the bus is away, and then let somebody act on who has just been
 * given more than they hold.
 */
export function createActing({
  scopes,
}: {
  readonly scopes: Pick<Client<typeof ScopeService>, "getHeldScopes">;
}): Acting {
  const heldOf = async (caller: Caller, userId: string): Promise<readonly string[]> => {
    const own = scopesOfCaller(caller);
    if (personIdOf(caller) === userId || knownScopes.every((scope) => own.has(scope))) return [];
    const reply = await scopes.getHeldScopes({ userId }).catch((cause: unknown) => {
      throw userErrors.scopesUnavailable({ cause });
    });
    return reply.scopes;
  };

  const judge: Acting["judge"] = async (caller, userId) => {
    const held = await heldOf(caller, userId);
    return (person) => refusalToActOn(caller, person.userId, [...new Set([...held, ...scopesOfRoles(person.roles)])]);
  };

  return {
    judge,
    by: async (caller, userId, change) => {
      const refusal = await judge(caller, userId);
      return (before) => refusal(before) ?? change(before);
    },
  };
}
