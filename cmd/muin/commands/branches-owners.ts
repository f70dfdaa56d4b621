import { create } from "@bufbuild/protobuf";
import type { Command } from "commander";
import { OwnerSchema, OwnerService, type Owner } from "../../../internal/gen/muin/identity/v1/owner_service_pb.ts";
import type { Cli } from "../cli.ts";
import { connect } from "../remote/connection.ts";
import { Failure } from "../terminal/failure.ts";
import { examples, remote, type RemoteOptions } from "../terminal/options.ts";
import { everyRow } from "../pages.ts";
import { plainMessage } from "../remote/plain-message.ts";

interface OwnerOptions extends RemoteOptions {
  readonly company?: string;
  readonly email?: string;
  readonly phone?: string;
}

/** Registers `branches owners` and what belongs to it. */
export function registerBranchesOwners(branches: Command, cli: Cli): void {
  const owners = branches.command("owners").description("people who may own branches");

  const register = withBusiness(owners.command("register <user-id>"))
    .description("make a person who has signed up an owner")
    .action(async (userId: string, options: OwnerOptions) => {
      const service = (await connect(options, cli.env)).client(OwnerService);
      const { owner } = await service.registerOwner({ owner: businessOf(userId, options) }, { signal: cli.signal() });
      printOwner(cli, options, owner, `${userId} is an owner`);
    });
  examples(
    register,
    'muin branches owners register 0199c5f2-7a11-7bb2-9c01-5e8d2f7a6b33 --company "Muscle & Co." --email office@example.com',
  );

  const update = withBusiness(owners.command("update <user-id>"))
    .description("change what is given of an owner; an empty text takes it away")
    .action(async (userId: string, options: OwnerOptions) => {
      const given = {
        company_name: options.company,
        contact_email: options.email,
        contact_phone_number: options.phone,
      };
      const paths = Object.entries(given).flatMap(([name, value]) => (value === undefined ? [] : [name]));
      if (paths.length === 0) throw new Failure("usage", "nothing to change was given; see --help");
      const service = (await connect(options, cli.env)).client(OwnerService);
      const request = { owner: businessOf(userId, options), updateMask: { paths } };
      const { owner } = await service.updateOwner(request, { signal: cli.signal() });
      printOwner(cli, options, owner, `updated ${userId}`);
    });
  examples(update, "muin branches owners update 0199c5f2-7a11-7bb2-9c01-5e8d2f7a6b33 --phone +82212345678");

  const get = remote(owners.command("get <user-id>"))
    .description("show an owner")
    .action(async (userId: string, options: RemoteOptions) => {
      const service = (await connect(options, cli.env)).client(OwnerService);
      const { owner } = await service.getOwner({ userId }, { signal: cli.signal() });
      if (options.json === true || owner === undefined) printOwner(cli, options, owner, "");
      else cli.output.table(header, [rowOf(owner)]);
    });
  examples(get, "muin branches owners get 0199c5f2-7a11-7bb2-9c01-5e8d2f7a6b33");

  const list = remote(owners.command("list"))
    .description("list owners")
    .action(async (options: RemoteOptions) => {
      const service = (await connect(options, cli.env)).client(OwnerService);
      const signal = cli.signal();
      const rows: string[][] = [];
      for await (const owner of everyRow(async (page) => {
        const { owners: found, nextPageToken } = await service.listOwners(page, { signal });
        return { rows: found, nextPageToken };
      })) {
        if (options.json === true) cli.output.json(plainMessage(OwnerSchema, owner));
        else rows.push(rowOf(owner));
      }
      if (rows.length > 0) cli.output.table(header, rows);
      else if (options.json !== true) cli.output.note("there are no owners");
    });
  examples(list, "muin branches owners list --json");
}

function withBusiness(command: Command): Command {
  return remote(command)
    .option("--company <text>", "what their business is called")
    .option("--email <address>", "e-mail address for business")
    .option("--phone <number>", "telephone number for business, such as +82212345678");
}

function businessOf(userId: string, options: OwnerOptions): Owner {
  return create(OwnerSchema, {
    userId,
    companyName: options.company ?? "",
    contactEmail: options.email ?? "",
    contactPhoneNumber: options.phone ?? "",
  });
}

function printOwner(cli: Cli, options: RemoteOptions, owner: Owner | undefined, done: string): void {
  if (options.json === true) cli.output.json(plainMessage(OwnerSchema, owner ?? create(OwnerSchema)));
  else cli.output.print(done);
}

const header = ["PERSON", "NAME", "COMPANY", "E-MAIL", "PHONE"];

function rowOf(owner: Owner): string[] {
  return [owner.userId, owner.displayName, owner.companyName, owner.contactEmail, owner.contactPhoneNumber];
}
