import { Command, type Redis } from "ioredis";

/** A Lua script with its SHA-1, by which Redis remembers it. */
export interface LuaScript {
  readonly lua: string;
  readonly sha1: string;
}

/** Prepares a script. */
export function luaScript(lua: string): LuaScript {
  return { lua, sha1: new Bun.CryptoHasher("sha1").update(lua).digest("hex") };
}

/**
 * Runs a script and returns its reply, strings as bytes. It goes to the socket at once: the client's automatic pipeline would
 * hold it back until the commands before it are answered, and with it the next batch. Redis that does not know the script
 * gets its text. Sends nothing else twice.
 */
export async function runScript(
  client: Redis,
  script: LuaScript,
  keys: readonly string[],
  args: readonly (string | Buffer)[],
): Promise<unknown> {
  try {
    return await send(client, "evalsha", script.sha1, keys, args);
  } catch (error) {
    if (!(error instanceof Error) || !error.message.startsWith("NOSCRIPT")) throw error;
    return await send(client, "eval", script.lua, keys, args);
  }
}

function send(
  client: Redis,
  name: "eval" | "evalsha",
  script: string,
  keys: readonly string[],
  args: readonly (string | Buffer)[],
): Promise<unknown> {
  const command = new Command(name, [script, keys.length.toString(), ...keys, ...args], { replyEncoding: null });
  client.sendCommand(command);
  return command.promise;
}
