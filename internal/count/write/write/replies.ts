import type { MessageInitShape } from "@bufbuild/protobuf";
import type { Status } from "../../../gen/google/rpc/status_pb.ts";
import type { CountValueSchema } from "../../../gen/muin/count/v1/count_pb.ts";
import type { WriteResultSchema } from "../../../gen/muin/count/v1/count_write_service_pb.ts";
import type { AppliedWrite } from "./batch.ts";

/** The reply to an applied write. What a message of it needs is made only when somebody asks: its codec writes it as it is. */
export class AppliedReply {
  readonly countId: string;
  readonly write: AppliedWrite;

  constructor(countId: string, write: AppliedWrite) {
    this.countId = countId;
    this.write = write;
  }

  get value(): MessageInitShape<typeof CountValueSchema> {
    const { value, revision, timeMs } = this.write;
    return {
      countId: this.countId,
      value: BigInt(value),
      revision: BigInt(revision),
      updateTime: { seconds: BigInt(Math.floor(timeMs / 1000)), nanos: (timeMs % 1000) * 1_000_000 },
    };
  }
  get replayed(): boolean {
    return this.write.outcome === "replayed";
  }
}

/** What came of one write of a batch: it was applied, or why not. */
export type BatchResult = AppliedWrite | Status;

/** Whether the write was refused. */
export function isStatus(result: BatchResult): result is Status {
  return "$typeName" in result;
}

/** The reply to a batch, made as `AppliedReply` is. */
export class BatchReply {
  readonly countIds: readonly string[];
  /** Per write, in their order. */
  readonly told: readonly BatchResult[];

  constructor(countIds: readonly string[], told: readonly BatchResult[]) {
    this.countIds = countIds;
    this.told = told;
  }

  get results(): MessageInitShape<typeof WriteResultSchema>[] {
    return this.told.map((result, place) => ({
      result: isStatus(result)
        ? { case: "error", value: result }
        : { case: "success", value: new AppliedReply(this.countIds[place]!, result) },
    }));
  }
}
