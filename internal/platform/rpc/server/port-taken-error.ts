/** A port that another program has. */
export class PortTakenError extends Error {
  readonly which: "http" | "grpc";
  readonly port: number;

  constructor(which: "http" | "grpc", port: number, cause: unknown) {
    super(`the ${which === "http" ? "HTTP" : "gRPC"} port ${port} is taken by another program`, { cause });
    this.name = "PortTakenError";
    this.which = which;
    this.port = port;
  }
}
