import { Command } from "ioredis";
import type { RedisClient } from "./redis-store.ts";

/**
 * Sends a command whose bytes in the Redis protocol (https://redis.io/docs/latest/develop/reference/protocol-spec/#arrays) are there
 * already, which saves the driver's general way of making them. `name` is the command's, in lower case. Bulk replies are Buffers.
 * Rejects as `mapRedisError` says; after that it may have run.
 */
export function sendFrame(client: RedisClient, name: string, frame: Buffer): Promise<unknown> {
  const command = new FramedCommand(name, frame);
  void client.sendCommand(command);
  return command.promise;
}

class FramedCommand extends Command {
  readonly #frame: Buffer;

  constructor(name: string, frame: Buffer) {
    super(name, [], { replyEncoding: null });
    this.#frame = frame;
  }

  override toWritable(): Buffer {
    return this.#frame;
  }
}
