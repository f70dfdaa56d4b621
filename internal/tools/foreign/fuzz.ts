import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runToEnd } from "../run-program.ts";

/** What ends the credentials that call it, or those of their owner. It is tried last, since nothing can be called after it. */
const enders =
  "^(ApiKeyService_RevokeApiKey|AuthService_(SignOut|RevokeSession|ChangePassword)|CredentialService_(ResetPassword|DisableTotp|ResetTotp)|" +
  "ScopeService_RevokeScopes|ServiceTokenService_WithdrawService|UserService_(DeleteUser|SuspendUser|UnassignRole))$";

/** How thoroughly to try. */
export interface FuzzSize {
  /** The phases of Schemathesis, joined by commas. */
  readonly phases: string;
  /** Generated requests per operation, in each phase. */
  readonly examplesMax: number;
  readonly seed: number;
  /** Longest that a run may take, in milliseconds. */
  readonly runMsMax: number;
}

/** How a run ended. */
export interface FuzzResult {
  readonly passed: boolean;
  /** Operations that were called. */
  readonly tested: number;
  readonly output: string;
}

/** Has Schemathesis, in `bin`, call the operations of a Muin with credentials: all but those that end these, or these alone. */
export async function fuzz(
  bin: string,
  target: { readonly http: string; readonly credentials: string; readonly enders: boolean },
  { phases, examplesMax, seed, runMsMax }: FuzzSize,
): Promise<FuzzResult> {
  // It keeps files where it runs.
  const folder = await mkdtemp(join(tmpdir(), "muin-fuzz-"));
  const { code, output } = await runToEnd(
    [
      join(bin, "schemathesis"),
      `--config-file=${join(import.meta.dir, "schemathesis.toml")}`,
      "run",
      `${target.http}/openapi.json`,
      `--header=Authorization: Bearer ${target.credentials}`,
      `--${target.enders ? "include" : "exclude"}-operation-id-regex=${enders}`,
      `--phases=${phases}`,
      `--max-examples=${examplesMax}`,
      `--seed=${seed}`,
      "--generation-database=none",
      "--continue-on-failure",
      "--no-color",
    ],
    {
      cwd: folder,
      mayFail: true,
      timeout: runMsMax,
      env: { SCHEMATHESIS_HOOKS: "hooks", PYTHONPATH: import.meta.dir, PYTHONDONTWRITEBYTECODE: "1" },
    },
  ).finally(() => rm(folder, { recursive: true, force: true }));
  const tested = /^ {2}Tested: (\d+)$/m.exec(output)?.[1];
  return { passed: code === 0, tested: Number(tested ?? 0), output };
}
