import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { Code, ConnectError } from "@connectrpc/connect";
import { CountManagementService } from "../gen/muin/count/v1/count_management_service_pb.ts";
import { CountReadService } from "../gen/muin/count/v1/count_read_service_pb.ts";
import { CountWriteService } from "../gen/muin/count/v1/count_write_service_pb.ts";
import { ApiKeyService } from "../gen/muin/identity/v1/api_key_service_pb.ts";
import { AuthService } from "../gen/muin/identity/v1/auth_service_pb.ts";
import { OperationsService } from "../gen/muin/platform/v1/operations_service_pb.ts";
import { connectClient, startMuin, type TestMuin } from "../platform/testing/muin.ts";
import { expectPromised, untilPromised } from "../platform/testing/promise.ts";

setDefaultTimeout(60_000);

/**
 * The promise, "everywhere within one second", counted from the reply to RevokeApiKey. The second is the product's; a call
 * that was sent within it may be answered after it, so calls are judged by when they began.
 */
const revokedMsMax = 1000;

let muin: TestMuin;
beforeAll(async () => {
  muin = await startMuin();
  await muin.client(CountManagementService).createCount({ countId: "guarded" });
});
afterAll(() => muin[Symbol.asyncDispose]());

async function makeKey(...scopes: string[]): Promise<{ id: string; secret: string }> {
  const { apiKey, secret } = await muin.client(ApiKeyService).createApiKey({ displayName: "test", scopes });
  return { id: apiKey?.apiKeyId ?? "", secret };
}

/** How often auth was asked whose key it is. */
async function verifications(): Promise<number> {
  const metrics = await (await fetch(`${muin.operator}/metrics`)).text();
  const rows = metrics.matchAll(/^muin_rpc_server_finished_total\{[^}]*method="VerifyApiKey"[^}]*\} (\d+)$/gm);
  return [...rows].reduce((total, [, count]) => total + Number(count), 0);
}

describe("an API key", () => {
  test("that was seen in the last minute costs no question to auth", async () => {
    const { secret } = await makeKey("counts.write", "counts.read");
    const write = muin.client(CountWriteService, secret);
    const read = muin.client(CountReadService, secret);
    const before = await verifications();
    await write.increment({ countId: "guarded" });
    expect(await verifications()).toBe(before + 1);
    for (let round = 0; round < 20; round += 1) {
      await Promise.all(Array.from({ length: 50 }, () => write.increment({ countId: "guarded" })));
      await read.getCount({ countId: "guarded", maxStaleness: {} });
    }
    expect(await verifications()).toBe(before + 1);
  });

  test("that was revoked is refused within a second in every lane, and its streams end", async () => {
    const { id, secret } = await makeKey("counts.write", "operations.read");
    const write = muin.client(CountWriteService, secret);
    const lanes: readonly [string, () => Promise<unknown>][] = [
      ["Connect", () => write.increment({ countId: "guarded" })],
      [
        "REST",
        async () => {
          const response = await fetch(`${muin.http}/api/v1/counts/guarded/increment`, {
            method: "POST",
            headers: { authorization: `Bearer ${secret}` },
          });
          if (response.status === 401) throw new ConnectError("refused", Code.Unauthenticated);
          expect(response.status).toBe(200);
        },
      ],
    ];
    const stopping = new AbortController();
    /** When the last call that was let in began, and how the first that was not was refused. */
    const watched = lanes.map(async ([, call]) => {
      let lastAllowedAt = 0;
      while (!stopping.signal.aborted) {
        const beganAt = performance.now();
        try {
          await call();
          lastAllowedAt = beganAt;
        } catch (error) {
          return { lastAllowedAt, code: ConnectError.from(error).code };
        }
      }
      return { lastAllowedAt, code: undefined };
    });
    const tails = ["count.value", "identity.user"].map(async (topic) => {
      let events = 0;
      try {
        for await (const _ of muin.client(OperationsService, secret).tailEvents({ topic })) events += 1;
        return { code: undefined, endedAt: performance.now(), events };
      } catch (error) {
        return { code: ConnectError.from(error).code, endedAt: performance.now(), events };
      }
    });
    await muin.client(CountWriteService, secret).increment({ countId: "guarded" });
    await muin.client(ApiKeyService).revokeApiKey({ apiKeyId: id });
    const revokedAt = performance.now();
    const timer = setTimeout(() => stopping.abort(), 10 * revokedMsMax);
    for (const { lastAllowedAt, code } of await Promise.all(watched)) {
      expect(code).toBe(Code.Unauthenticated);
      expectPromised("a revoked key is refused in each lane", revokedMsMax, lastAllowedAt - revokedAt);
    }
    clearTimeout(timer);
    // One stream is busy and one is quiet; both end, and say why.
    const [busy, quiet] = await Promise.all(tails);
    expect(busy).toMatchObject({ code: Code.Unauthenticated });
    expect(quiet).toMatchObject({ code: Code.Unauthenticated, events: 0 });
    expect(busy?.events).toBeGreaterThan(0);
    for (const tail of [busy, quiet]) {
      expectPromised("a revoked key's stream ends", revokedMsMax, (tail?.endedAt ?? Infinity) - revokedAt);
    }
    // Nor does it come back.
    expect(await codeOf(write.increment({ countId: "guarded" }))).toBe(Code.Unauthenticated);
  });

  test("another's revocation touches no stream", async () => {
    const { id } = await makeKey("operations.read");
    const { secret } = await makeKey("operations.read");
    let beats = 0;
    for await (const _ of muin.client(OperationsService, secret).tailEvents({ topic: "platform.heartbeat" })) {
      beats += 1;
      if (beats === 1) await muin.client(ApiKeyService).revokeApiKey({ apiKeyId: id });
      if (beats === 4) break; // A heartbeat comes every 500 ms: more than the second that a revocation has.
    }
    expect(beats).toBe(4);
  });
});

test("a revoked session's token is refused within a second", async () => {
  const { tokens } = await muin.signUp({ email: "leaver@example.com", password: "a long enough secret" });
  const own = connectClient(AuthService, muin.http, tokens?.accessToken);
  const { sessions } = await own.listSessions({});
  await own.revokeSession({ sessionId: sessions[0]?.sessionId ?? "" });
  await untilPromised("a revoked session's token is refused", revokedMsMax, async () => {
    const code = await codeOf(own.listSessions({}));
    expect([undefined, Code.Unauthenticated]).toContain(code);
    return code === Code.Unauthenticated;
  });
});

async function codeOf(call: Promise<unknown>): Promise<Code | undefined> {
  try {
    await call;
    return undefined;
  } catch (error) {
    return ConnectError.from(error).code;
  }
}
