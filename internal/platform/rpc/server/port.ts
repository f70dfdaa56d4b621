import type { DescMethod, Registry } from "@bufbuild/protobuf";
import type { Clock } from "../../clock/clock.ts";
import type { Logger } from "../../telemetry/logger.ts";
import type { CallLife } from "../call/life.ts";
import type { RpcLimits } from "../call/limits.ts";
import type { MethodPlans } from "../call/plan.ts";
import type { ConnectionLimits } from "./connection-limits.ts";
import type { StrangerRates } from "./stranger-rates.ts";
import type { UnreadForwarding } from "./unread-forwarding.ts";

/** What both ports share. */
export interface PortDeps {
  readonly plans: MethodPlans;
  /** Methods of which nothing is told; `plans` lacks them. */
  readonly hides: (method: DescMethod) => boolean;
  readonly life: CallLife;
  readonly limits: RpcLimits;
  readonly connectionLimits: ConnectionLimits;
  readonly rates: StrangerRates;
  readonly registry: Registry;
  readonly clock: Clock;
  readonly log: Logger;
  readonly readiness: () => string | undefined;
  readonly tls: { readonly key: string; readonly cert: string; readonly ca?: string } | undefined;
  readonly trustedHops: number;
  readonly unreadForwarding: Pick<UnreadForwarding, "look">;
  readonly host: string;
  readonly port: number;
}

/** A listening port. */
export interface Port {
  start(): Promise<void>;
  /** Takes no new connections; calls under way go on. */
  stopAccepting(): void;
  /** Requests whose reply is not written yet: the call of one may have ended. */
  pending(): number;
  /** Closes what is left. Idempotent. */
  stop(): Promise<void>;
  /** Shows new connections this certificate from now on; throws when it cannot, and shows the old one. After `start`, with TLS. */
  useTls(tls: NonNullable<PortDeps["tls"]>): void;
  /** Where it listens. Throws before `start`. */
  address(): string;
}

/** The least version of TLS that is spoken; Bun's own server takes no older one either. */
export const tlsVersionMin = "TLSv1.2";

/** A host as it stands in a URL. */
export function hostOf(host: string): string {
  return host.includes(":") ? `[${host}]` : host;
}

/** TLS options as Bun and node:http2 both take them. */
export function tlsOf(tls: NonNullable<PortDeps["tls"]>): {
  key: string;
  cert: string;
  ca?: string;
  requestCert?: boolean;
  rejectUnauthorized?: boolean;
} {
  const { key, cert, ca } = tls;
  return ca === undefined ? { key, cert } : { key, cert, ca, requestCert: true, rejectUnauthorized: true };
}
