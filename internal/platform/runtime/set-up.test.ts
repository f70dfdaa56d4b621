import { expect, test } from "bun:test";
import { text } from "../config/fields.ts";
import type { ServiceInfo } from "../service/define-service.ts";
import { setup, type Setup } from "../service/parts.ts";
import { setUp } from "./set-up.ts";

const info = { name: "one" } as ServiceInfo;

/** A folder that keeps credentials in memory, and counts how often they were written. */
function createFolder(kept?: Readonly<Record<string, string>>) {
  const folder = {
    kept,
    credentialsFile: "/data/credentials.json",
    saved: 0,
    readCredentials: () => Promise.resolve(folder.kept),
    saveCredentials: (credentials: Readonly<Record<string, string>>) => {
      folder.kept = credentials;
      folder.saved++;
      return Promise.resolve();
    },
  };
  return folder;
}

/** Makes a key once, and finds it again; greets whom its setting names. */
const keyMaker = (name: string): Setup =>
  setup({ greeted: text("GREETED", { doc: "Whom it greets.", default: "you" }) }, ({ config, kept }) =>
    Promise.resolve({
      keep: { [name]: kept[name] ?? `new ${name}` },
      show: [{ title: name, text: `for ${config.greeted}`, json: { [name]: config.greeted } }],
    }),
  );

test("every setup runs, in order, with its settings; what they make is kept once", async () => {
  const folder = createFolder();
  const services = [
    { info, parts: [keyMaker("a")] },
    { info: { ...info, name: "two" }, parts: [keyMaker("b")] },
  ];
  const env = { MUIN_ONE_GREETED: "Ada" };
  const shown = [
    { title: "a", text: "for Ada", json: { a: "Ada" } },
    { title: "b", text: "for you", json: { b: "you" } },
  ];
  expect(await setUp(services, { env, folder })).toEqual(shown);
  expect(folder).toMatchObject({ kept: { a: "new a", b: "new b" }, saved: 1 });
  expect(await setUp(services, { env, folder })).toEqual(shown);
  expect(folder.saved).toBe(1);
});

test("what no setup keeps any more is not kept", async () => {
  const folder = createFolder({ a: "old", gone: "ended" });
  const services = [{ info, parts: [keyMaker("a")] }];
  await setUp(services, { env: {}, folder });
  expect(folder).toMatchObject({ kept: { a: "old" }, saved: 1 });
  expect(folder.kept).not.toHaveProperty("gone");
});

test("two services cannot keep a secret of one name, and nothing is kept then", async () => {
  const folder = createFolder({ a: "old" });
  const services = [
    { info, parts: [keyMaker("a")] },
    { info: { ...info, name: "two" }, parts: [keyMaker("a")] },
  ];
  expect(setUp(services, { env: {}, folder })).rejects.toThrow('two keeps a secret "a", which another service keeps');
  expect(folder.saved).toBe(0);
});
