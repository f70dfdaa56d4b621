import { writeFile } from "node:fs/promises";
import {
  EntryPassService,
  IssueEntryPassResponseSchema,
} from "../../../../internal/gen/muin/identity/v1/entry_pass_service_pb.ts";
import { plain } from "../../remote/plain-message.ts";
import { remoteCommand } from "../../remote/remote-command.ts";
import { Failure } from "../../terminal/failure.ts";
import { qrCodeLines, qrCodeSvg } from "../../terminal/qr-code.ts";
import { minuteText } from "../../terminal/time-text.ts";
import { wholeNumber } from "../../terminal/values.ts";

const minutesMax = 24 * 60;

/** `muin passes issue`. */
export const issue = remoteCommand({
  name: "issue",
  description: "issue an entry pass, and show it as a QR code; it opens a door of the branch once, and is kept nowhere",
  options: {
    branch: { value: "branch-id", help: "the branch whose doors it opens", required: true },
    user: { value: "user-id", help: "whom it lets in (default: whoever calls, where that is a person)" },
    minutes: { value: "number", help: "how long it lives (default: 5)", parse: wholeNumber(1, minutesMax) },
    svg: { value: "file", help: "write the QR code to a file, as a picture in SVG, instead of the terminal" },
  },
  examples: [
    "muin passes issue --branch 0199c5f2-6f0c-7aa0-8d6e-0a4f3a6b1c55 --user 0199c5f2-7d11-7b02-9c41-5f0d2a7e9c10",
    "muin passes issue --branch 0199c5f2-6f0c-7aa0-8d6e-0a4f3a6b1c55 --minutes 60 --svg pass.svg",
  ],
  call: async ({ branch, user = "", minutes = 0, svg }, { client }) => {
    const issued = await client(EntryPassService).issueEntryPass({
      branchId: branch,
      userId: user,
      lifeSeconds: minutes * 60,
    });
    if (svg !== undefined) await writePicture(svg, issued);
    return issued;
  },
  json: plain(IssueEntryPassResponseSchema),
  print: ({ entryPassId, pass, expireTime }, output, { svg }) => {
    output.print(pass);
    if (svg === undefined) {
      const lines = qrCodeLines(pass);
      for (const line of lines) output.print(output.paint("whiteOnBlack", line));
      const width = lines[0]?.length ?? 0;
      if (output.printsToTerminal && output.columns < width) {
        output.note(`the QR code needs ${width} columns: widen the terminal, or have a picture with --svg`);
      }
    }
    output.note(`this is entry pass ${entryPassId}, good once and until ${minuteText(expireTime)}`);
  },
});

/** Writes the QR code of a pass, for its owner alone. */
async function writePicture(path: string, { entryPassId, pass }: { entryPassId: string; pass: string }): Promise<void> {
  try {
    await writeFile(path, qrCodeSvg(pass), { mode: 0o600 });
  } catch (error) {
    const why = error instanceof Error && "code" in error ? String(error.code) : "it failed";
    throw new Failure("failed", `${path} cannot be written: ${why}; revoke pass ${entryPassId}, and issue another`, {
      cause: error,
    });
  }
}
