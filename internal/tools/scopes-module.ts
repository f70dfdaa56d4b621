import { createFileRegistry, getExtension, hasExtension } from "@bufbuild/protobuf";
import type { FileDescriptorSet } from "@bufbuild/protobuf/wkt";

/** The fields of a policy that name scopes, as TypeScript knows them. */
interface PolicyScopes {
  readonly scopes: readonly string[];
  readonly widerScopes: readonly string[];
}

/** A module with every scope that a policy in the protos names, each once, by name. */
export function scopesModule(files: FileDescriptorSet): string {
  const registry = createFileRegistry(files);
  // From the protos themselves: what was generated from them may be of their last version.
  const policy = registry.getExtension("muin.platform.v1.policy");
  if (policy === undefined) throw new Error("the protos have no option muin.platform.v1.policy");
  const scopes = new Set<string>();
  for (const type of registry) {
    if (type.kind !== "service") continue;
    for (const { proto } of type.methods) {
      if (proto.options === undefined || !hasExtension(proto.options, policy)) continue;
      const named: unknown = getExtension(proto.options, policy);
      const { scopes: needed, widerScopes } = named as PolicyScopes;
      for (const scope of [...needed, ...widerScopes]) scopes.add(scope);
    }
  }
  return [
    "// @generated from the policies in proto/muin",
    "/* eslint-disable */",
    "",
    "/** Every scope that a policy names, by name. */",
    `export const scopes = ${JSON.stringify([...scopes].toSorted(), null, 2)} as const;`,
    "",
    "/** One of them. */",
    "export type Scope = (typeof scopes)[number];",
    "",
  ].join("\n");
}
