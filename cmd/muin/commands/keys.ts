import { timestampDate, timestampFromMs, durationFromMs, type Timestamp } from "@bufbuild/protobuf/wkt";
import type { Command } from "commander";
import {
  type ApiKey,
  ApiKeySchema,
  ApiKeyService,
  CreateApiKeyResponseSchema,
} from "../../../internal/gen/muin/identity/v1/api_key_service_pb.ts";
import {
  IssueServiceTokenResponseSchema,
  ServiceTokenService,
} from "../../../internal/gen/muin/identity/v1/service_token_service_pb.ts";
import type { Cli } from "../cli.ts";
import { connect } from "../remote/connection.ts";
import { durationMs, examples, remote, type RemoteOptions, several } from "../terminal/options.ts";
import { plainMessage } from "../remote/plain-message.ts";

/** Keys asked for at once. */
const pageSize = 500;

/** Registers `keys` and what belongs to it. */
export function registerKeys(program: Command, cli: Cli): void {
  const keys = program.command("keys").description("create, list and revoke API keys; issue tokens for services");
  registerCreate(keys, cli);
  registerList(keys, cli);
  registerRevoke(keys, cli);
  registerService(keys, cli);
}

function registerCreate(keys: Command, cli: Cli): void {
  const command = remote(keys.command("create <name>"))
    .description("create an API key; its secret is printed once and kept nowhere")
    .requiredOption("--scope <scope>", "what it may do; may be given several times", several)
    .option("--expires <time>", "when it ends, from now (default: never)", durationMs)
    .action(
      async (
        displayName: string,
        options: RemoteOptions & { readonly scope: readonly string[]; readonly expires?: number },
      ) => {
        const { client } = await connect(options, cli.env);
        const expireTime =
          options.expires === undefined ? {} : { expireTime: timestampFromMs(cli.clock.now() + options.expires) };
        const reply = await client(ApiKeyService).createApiKey(
          { displayName, scopes: [...options.scope], ...expireTime },
          { signal: cli.signal() },
        );
        if (options.json === true) {
          cli.output.json(plainMessage(CreateApiKeyResponseSchema, reply));
          return;
        }
        cli.output.print(reply.secret);
        cli.output.note(`this is the secret of key ${reply.apiKey?.apiKeyId ?? ""}; it is not shown again`);
      },
    );
  examples(
    command,
    'muin keys create "Web shop" --scope counts.read --scope counts.write',
    "muin keys create nightly --scope counts.write --expires 30d > key.txt",
  );
}

function registerList(keys: Command, cli: Cli): void {
  const command = remote(keys.command("list"))
    .description("list API keys, newest first, without their secrets")
    .option("--all", "revoked and expired ones too")
    .action(async (options: RemoteOptions & { readonly all?: boolean }) => {
      const { client } = await connect(options, cli.env);
      const service = client(ApiKeyService);
      const signal = cli.signal();
      const rows: string[][] = [];
      let pageToken = "";
      do {
        const page = await service.listApiKeys({ pageSize, pageToken, showEnded: options.all === true }, { signal });
        for (const key of page.apiKeys) {
          if (options.json === true) cli.output.json(plainMessage(ApiKeySchema, key));
          else rows.push(rowOf(key));
        }
        pageToken = page.nextPageToken;
      } while (pageToken !== "");
      if (rows.length > 0) cli.output.table(["KEY", "NAME", "SCOPES", "CREATED", "LAST USED", "ENDS"], rows);
      else if (options.json !== true) cli.output.note("there are no keys");
    });
  examples(command, "muin keys list", "muin keys list --all --json");
}

function rowOf(key: ApiKey): string[] {
  const ends =
    key.revokeTime === undefined ? timeText(key.expireTime, "never") : `revoked ${timeText(key.revokeTime, "")}`;
  return [
    key.apiKeyId,
    key.displayName,
    key.scopes.join(" "),
    timeText(key.createTime, ""),
    timeText(key.useTime, "never"),
    ends,
  ];
}

/** A time to the minute, in UTC. */
export function timeText(time: Timestamp | undefined, absent: string): string {
  return time === undefined ? absent : `${timestampDate(time).toISOString().slice(0, 16).replace("T", " ")}Z`;
}

function registerRevoke(keys: Command, cli: Cli): void {
  const command = remote(keys.command("revoke <key-id>"))
    .description("end an API key, everywhere within a second")
    .action(async (apiKeyId: string, options: RemoteOptions) => {
      const { client } = await connect(options, cli.env);
      await client(ApiKeyService).revokeApiKey({ apiKeyId }, { signal: cli.signal() });
      if (options.json === true) cli.output.json({ api_key_id: apiKeyId, revoked: true });
      else cli.output.print(`revoked ${apiKeyId}`);
    });
  examples(command, "muin keys revoke 0199c5f2-6f0c-7aa0-8d6e-0a4f3a6b1c55");
}

function registerService(keys: Command, cli: Cli): void {
  const command = remote(keys.command("service <service>"))
    .description("issue a token by which one of Muin's services knows itself to the others")
    .option("--ttl <time>", "how long it lives, 1m to 366d (default: 30d)", durationMs)
    .action(async (serviceName: string, options: RemoteOptions & { readonly ttl?: number }) => {
      const { client } = await connect(options, cli.env);
      const ttl = options.ttl === undefined ? {} : { ttl: durationFromMs(options.ttl) };
      const reply = await client(ServiceTokenService).issueServiceToken(
        { serviceName, ...ttl },
        { signal: cli.signal() },
      );
      if (options.json === true) cli.output.json(plainMessage(IssueServiceTokenResponseSchema, reply));
      else {
        cli.output.print(reply.token);
        cli.output.note(
          `it ends ${timeText(reply.expireTime, "never")}; give it to ${serviceName} with MUIN_SERVICE_TOKEN_FILE`,
        );
      }
    });
  examples(command, "muin keys service count-write --ttl 7d > count-write.token");
}
