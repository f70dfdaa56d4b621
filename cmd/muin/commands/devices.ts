import type { Command } from "commander";
import {
  ActivateDeviceResponseSchema,
  DeviceSchema,
  DeviceService,
  DeviceState,
  IssueDeviceTokenResponseSchema,
  RegisterDeviceResponseSchema,
  type Device,
} from "../../../internal/gen/muin/identity/v1/device_service_pb.ts";
import type { Cli } from "../cli.ts";
import { connect, connectDevice } from "../remote/connection.ts";
import { nameDeviceKeyFile, openDeviceKeyFile, readDeviceKeyFile } from "./devices/device-key-file.ts";
import { Failure } from "../terminal/failure.ts";
import { examples, remote, type RemoteOptions, several } from "../terminal/options.ts";
import { everyRow } from "../pages.ts";
import { plainMessage } from "../remote/plain-message.ts";
import { timeText } from "./keys.ts";

/** Registers `devices` and what belongs to it. */
export function registerDevices(program: Command, cli: Cli): void {
  const devices = program
    .command("devices")
    .description("register, list and revoke devices at doors; on a device: activate it and get its token");
  registerRegister(devices, cli);
  registerActivate(devices, cli);
  registerToken(devices, cli);
  registerList(devices, cli);
  registerRevoke(devices, cli);
}

function registerRegister(devices: Command, cli: Cli): void {
  const command = remote(devices.command("register <name>"))
    .description("register a device; its activation code is printed once, kept nowhere and good for an hour")
    .requiredOption("--branch <branch-id>", "branch that it acts for; may be given several times", several)
    .action(async (displayName: string, options: RemoteOptions & { readonly branch: readonly string[] }) => {
      const { client } = await connect(options, cli.env);
      const request = { displayName, branchIds: [...options.branch] };
      const reply = await client(DeviceService).registerDevice(request, { signal: cli.signal() });
      if (options.json === true) {
        cli.output.json(plainMessage(RegisterDeviceResponseSchema, reply));
        return;
      }
      cli.output.print(reply.activationCode);
      cli.output.note(
        `this is the activation code of device ${reply.device?.deviceId ?? ""}, good once and until ${timeText(reply.activationExpireTime, "")}`,
      );
    });
  examples(command, 'muin devices register "Front door" --branch 0199c5f2-6f0c-7aa0-8d6e-0a4f3a6b1c55');
}

interface KeyFileOptions extends RemoteOptions {
  readonly keyFile: string;
}

const keyFileHelp = "file that keeps the device's id and private key, readable by its owner alone";

function registerActivate(devices: Command, cli: Cli): void {
  const command = remote(devices.command("activate"))
    .description("on the device: make its key and activate it; the same command again goes on where it was cut off")
    .requiredOption("--code <code>", "activation code")
    .requiredOption("--key-file <file>", `${keyFileHelp}; made when it is not there`)
    .action(async (options: KeyFileOptions & { readonly code: string }) => {
      const { deviceId, privateKey, publicKey } = await openDeviceKeyFile(options.keyFile);
      if (deviceId !== "") throw new Failure("usage", `${options.keyFile} is the key of device ${deviceId} already`);
      const { client } = await connectDevice(options, cli, privateKey);
      const request = { activationCode: options.code, publicKey };
      const reply = await client(DeviceService).activateDevice(request, { signal: cli.signal() });
      await nameDeviceKeyFile(options.keyFile, reply.device?.deviceId ?? "");
      if (options.json === true) cli.output.json(plainMessage(ActivateDeviceResponseSchema, reply));
      else cli.output.print(`activated ${reply.device?.deviceId ?? ""}`);
    });
  examples(command, "muin devices activate --url https://muin.example --code 7KQ2-M9XD-0RTV --key-file door.json");
}

function registerToken(devices: Command, cli: Cli): void {
  const command = remote(devices.command("token"))
    .description("on the device: get a token of a day; each call that carries it is signed with the key too")
    .requiredOption("--key-file <file>", keyFileHelp)
    .action(async (options: KeyFileOptions) => {
      const { deviceId, privateKey } = await readDeviceKeyFile(options.keyFile);
      if (deviceId === "") throw new Failure("usage", `${options.keyFile} is of no device yet: activate it first`);
      const { client } = await connectDevice(options, cli, privateKey);
      const reply = await client(DeviceService).issueDeviceToken({ deviceId }, { signal: cli.signal() });
      if (options.json === true) {
        cli.output.json(plainMessage(IssueDeviceTokenResponseSchema, reply));
        return;
      }
      cli.output.print(reply.token);
      cli.output.note(`it ends ${timeText(reply.expireTime, "never")}`);
    });
  examples(command, "muin devices token --url https://muin.example --key-file door.json > door.token");
}

function registerList(devices: Command, cli: Cli): void {
  const command = remote(devices.command("list"))
    .description("list devices, newest first")
    .option("--branch <branch-id>", "only those of this branch")
    .option("--all", "revoked ones too")
    .action(async (options: RemoteOptions & { readonly branch?: string; readonly all?: boolean }) => {
      const { client } = await connect(options, cli.env);
      const service = client(DeviceService);
      const signal = cli.signal();
      const rows: string[][] = [];
      const found = everyRow(async (page) => {
        const filter = { branchId: options.branch ?? "", showRevoked: options.all === true };
        const { devices: read, nextPageToken } = await service.listDevices({ ...page, ...filter }, { signal });
        return { rows: read, nextPageToken };
      });
      for await (const device of found) {
        if (options.json === true) cli.output.json(plainMessage(DeviceSchema, device));
        else rows.push(rowOf(device));
      }
      if (rows.length > 0) cli.output.table(["DEVICE", "NAME", "BRANCHES", "STATE", "REGISTERED", "LAST TOKEN"], rows);
      else if (options.json !== true) cli.output.note("there are no devices");
    });
  examples(command, "muin devices list", "muin devices list --all --json");
}

function rowOf(device: Device): string[] {
  return [
    device.deviceId,
    device.displayName,
    device.branchIds.join(" "),
    stateText(device),
    timeText(device.createTime, ""),
    timeText(device.tokenTime, "never"),
  ];
}

function stateText({ state, revokeTime }: Device): string {
  switch (state) {
    case DeviceState.PENDING:
      return "pending";
    case DeviceState.ACTIVE:
      return "active";
    case DeviceState.REVOKED:
      return `revoked ${timeText(revokeTime, "")}`;
    case DeviceState.UNSPECIFIED:
    default:
      return "unknown";
  }
}

function registerRevoke(devices: Command, cli: Cli): void {
  const command = remote(devices.command("revoke <device-id>"))
    .description("end a device, everywhere within a second while events flow, otherwise when its token ends")
    .action(async (deviceId: string, options: RemoteOptions) => {
      const { client } = await connect(options, cli.env);
      await client(DeviceService).revokeDevice({ deviceId }, { signal: cli.signal() });
      if (options.json === true) cli.output.json({ device_id: deviceId, revoked: true });
      else cli.output.print(`revoked ${deviceId}`);
    });
  examples(command, "muin devices revoke 0199c5f2-6f0c-7aa0-8d6e-0a4f3a6b1c55");
}
