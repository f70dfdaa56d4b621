import type { Command } from "commander";
import {
  PersonScopesSchema,
  ScopeSchema,
  ScopeService,
  type PersonScopes,
} from "../../../internal/gen/muin/identity/v1/scope_service_pb.ts";
import type { Cli } from "../cli.ts";
import { connect } from "../remote/connection.ts";
import { examples, remote, type RemoteOptions } from "../terminal/options.ts";
import { plainMessage } from "../remote/plain-message.ts";
import { named, userArgument } from "./users-shared.ts";

/** Registers `users scopes`. */
export function registerUsersScopes(users: Command, cli: Cli): void {
  const scopes = users
    .command("scopes")
    .description("list, give and take back scopes; a change shows in a person's tokens within 15 minutes");
  registerList(scopes, cli);
  registerGet(scopes, cli);
  registerChange(scopes, cli, "grant");
  registerChange(scopes, cli, "revoke");
}

function registerList(scopes: Command, cli: Cli): void {
  const command = remote(scopes.command("list"))
    .description("list every scope there is, and the roles that give it")
    .action(async (options: RemoteOptions) => {
      const { client } = await connect(options, cli.env);
      const reply = await client(ScopeService).listScopes({}, { signal: cli.signal() });
      if (options.json === true) for (const scope of reply.scopes) cli.output.json(plainMessage(ScopeSchema, scope));
      else
        cli.output.table(
          ["SCOPE", "ROLES"],
          reply.scopes.map(({ scope, roles }) => [scope, roles.join(" ")]),
        );
    });
  examples(command, "muin users scopes list");
}

function registerGet(scopes: Command, cli: Cli): void {
  const command = remote(scopes.command("get").argument("<user>", userArgument))
    .description("tell what a person may do, and why")
    .action(async (user: string, options: RemoteOptions) => {
      const { client, userId, signal } = await named(user, options, cli);
      const reply = await client(ScopeService).getScopes({ userId }, { signal });
      show(reply.personScopes, options, cli);
    });
  examples(command, "muin users scopes get ada@example.org");
}

function registerChange(scopes: Command, cli: Cli, verb: "grant" | "revoke"): void {
  const command = remote(scopes.command(verb).argument("<user>", userArgument).argument("<scope...>"))
    .description(
      verb === "grant"
        ? "give a person scopes that you hold yourself"
        : "take back scopes that a person was given; what a role gives stays",
    )
    .action(async (user: string, names: string[], options: RemoteOptions) => {
      const { client, userId, signal } = await named(user, options, cli);
      const service = client(ScopeService);
      const request = { userId, scopes: names };
      const { personScopes } =
        verb === "grant"
          ? await service.grantScopes(request, { signal })
          : await service.revokeScopes(request, { signal });
      show(personScopes, options, cli);
      if (options.json !== true) cli.output.note("tokens that were issued before keep their scopes until they end");
    });
  examples(command, `muin users scopes ${verb} ada@example.org counts.read users.read`);
}

/** One row per scope, with where it comes from. */
function show(person: PersonScopes | undefined, options: RemoteOptions, cli: Cli): void {
  if (person === undefined) return;
  if (options.json === true) {
    cli.output.json(plainMessage(PersonScopesSchema, person));
    return;
  }
  const rows = person.scopes.map((scope) => [
    scope,
    [person.roleScopes.includes(scope) ? "role" : "", person.grantedScopes.includes(scope) ? "given" : ""]
      .filter((source) => source !== "")
      .join(", "),
  ]);
  if (rows.length > 0) cli.output.table(["SCOPE", "FROM"], rows);
  else cli.output.note("the person holds no scope");
}
