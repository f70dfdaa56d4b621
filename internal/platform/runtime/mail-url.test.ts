import { expect, test } from "bun:test";
import { join } from "node:path";
import { caught, importMutant } from "../testing/mutant.ts";
import * as real from "./mail-url.ts";

function expectRefusals({ checkMailUrl }: typeof real): void {
  const remote = { MUIN_MAIL_URL: "smtp://mail.example" };
  expect(() => checkMailUrl(remote, { insecure: false })).toThrow(
    "MUIN_MAIL_URL reaches mail.example by TLS only if that is offered",
  );
  checkMailUrl(remote, { insecure: true });
  for (const url of ["smtps://mail.example", "smtp://u:secret@mail.example", "smtp://127.0.0.1:25", "file:///mail"]) {
    checkMailUrl({ MUIN_MAIL_URL: url }, { insecure: false });
  }
  checkMailUrl({}, { insecure: false });
}

test("mails go to no other machine in plain text, unless that is said to be meant", () => expectRefusals(real));

test("mutant: they do", async () => {
  const mutant = await importMutant<typeof real>(
    join(import.meta.dir, "mail-url.ts"),
    "{ insecure, ca",
    "{ insecure: true, ca",
  );
  await caught(() => expectRefusals(mutant));
});
