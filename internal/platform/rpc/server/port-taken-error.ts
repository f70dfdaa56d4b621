const names = { http: "HTTP", grpc: "gRPC", operator: "operator" } as const;
const settings = { http: "MUIN_HTTP_PORT", grpc: "MUIN_GRPC_PORT", operator: "MUIN_OPERATOR_PORT" } as const;

/** A port that another program has. */
export class PortTakenError extends Error {
  readonly which: keyof typeof names;
  readonly port: number;
  /** The setting that chooses another. */
  readonly setting: string;

  constructor(which: keyof typeof names, port: number, cause: unknown) {
    super(`the ${names[which]} port ${port} (${settings[which]}) is taken by another program`, { cause });
    this.name = "PortTakenError";
    this.which = which;
    this.port = port;
    this.setting = settings[which];
  }
}
