import type { DescMethod, DescService } from "@bufbuild/protobuf";
import type { Client } from "@connectrpc/connect";

/** RPCs of one RPC service: what a service declares that it calls. It may call no other. */
export interface Rpcs<S extends DescService = DescService, M extends string = string> {
  readonly service: S;
  /** Names of the methods as a client has them, such as "verifyApiKey". */
  readonly methods: readonly M[];
}

/** A client that has the declared RPCs, and no other. */
export type RpcsClient<R extends Rpcs> =
  R extends Rpcs<infer S, infer M> ? Pick<Client<S>, M & keyof Client<S>> : never;

/** Declares the RPCs of `service` that are called: `rpcs(ApiKeyService, ["verifyApiKey"])`. At least one. */
export function rpcs<S extends DescService, M extends Extract<keyof S["method"], string>>(
  service: S,
  methods: readonly [M, ...M[]],
): Rpcs<S, M> {
  return { service, methods };
}

/** The methods that are declared, in the order of the proto. */
export function methodsOf({ service, methods }: Rpcs): readonly DescMethod[] {
  return service.methods.filter(({ localName }) => methods.includes(localName));
}

/** What a declaration's client is made of: of a client of the whole RPC service, the declared RPCs. */
export function onlyDeclared({ methods }: Rpcs, client: Client<DescService>): Readonly<Record<string, unknown>> {
  return Object.fromEntries(methods.map((name) => [name, client[name]]));
}
