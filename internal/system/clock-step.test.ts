import { expect, setDefaultTimeout, test } from "bun:test";
import { ConnectError } from "@connectrpc/connect";
import { ErrorInfoSchema } from "../gen/google/rpc/error_details_pb.ts";
import { UserService } from "../gen/muin/identity/v1/user_service_pb.ts";
import { type Clock, systemClock } from "../platform/clock/clock.ts";
import { startMuin } from "../platform/testing/muin.ts";
import { createSteppableClock, lacksSteppableClock } from "../platform/testing/steppable-clock.ts";
import { deviceClient, newBranch, newDevice } from "./device-fixture.ts";

setDefaultTimeout(120_000);

const hourSeconds = 3600;

/** A clock that is so many seconds ahead. */
const clockAhead = (seconds: number): Clock => ({ ...systemClock, now: () => systemClock.now() + seconds * 1000 });

test.skipIf(lacksSteppableClock)(
  "a device whose token was issued while the clock ran ahead is taken at once when it was put back (skipped without libfaketime)",
  async () => {
    await using clock = await createSteppableClock();
    await using muin = await startMuin({ env: clock.env });
    await clock.step(3 * hourSeconds);
    const { userId } = await muin.signUp({ email: "owner@example.org", password: "a long enough secret" });
    const { token, privateKey } = await newDevice(muin, await newBranch(muin, userId), clockAhead(3 * hourSeconds));
    await clock.step(-3 * hourSeconds);
    const failure = await deviceClient(UserService, muin.http, privateKey, token)
      .getUser({ userId })
      .then(
        () => undefined,
        (error: unknown) => ConnectError.from(error),
      );
    // Who it is was found: it is a device, which may not do this.
    expect(failure?.findDetails(ErrorInfoSchema)[0]?.reason).toBe("CALLER_KIND");
  },
);
