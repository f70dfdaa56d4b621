import type { DescFile, DescService } from "@bufbuild/protobuf";
import { commentsOf } from "../../../gen/package-comments.ts";

/** What protos say of services, RPCs, messages, fields, enums and their values, by full name. */
export type Comments = Readonly<Record<string, string>>;

/** Names of the packages that the protos of `services` stand in, and those they import. */
export function packagesOf(services: readonly DescService[]): ReadonlySet<string> {
  const packages = new Set<string>();
  const seen = new Set<DescFile>();
  const visit = (file: DescFile): void => {
    if (seen.has(file)) return;
    seen.add(file);
    packages.add(file.proto.package);
    file.dependencies.forEach(visit);
  };
  for (const { file } of services) visit(file);
  return packages;
}

/** Loads what the protos of `services` say. Of protos that are not Muin's nothing is known. */
export async function loadComments(services: readonly DescService[]): Promise<Comments> {
  const names = [...packagesOf(services)].filter((name) => name in commentsOf);
  const loaded = await Promise.all(names.map((name) => commentsOf[name]!()));
  return Object.assign({}, ...loaded.map(({ comments }) => comments)) as Comments;
}
