import type { DescField, DescMessage, MessageShape } from "@bufbuild/protobuf";
import { clearField, isFieldSet } from "@bufbuild/protobuf";
import { fieldInvalid } from "./errors.ts";

/**
 * Copies the fields that an update changes from `source` to `target` (AIP-134): those that the mask names; without a mask those that
 * are set; with "*" all of `allowed`. Throws INVALID_ARGUMENT for a mask that names anything but fields of `allowed`, which are
 * names of the proto.
 */
export function applyUpdate<M extends DescMessage>(
  schema: M,
  target: MessageShape<M>,
  source: MessageShape<M>,
  options: { readonly mask: readonly string[] | undefined; readonly allowed: readonly string[] },
): void {
  const { allowed } = options;
  const mask = options.mask ?? [];
  const unknown = mask.filter((path) => path !== "*" && !allowed.includes(path));
  if (unknown.length > 0 || (mask.includes("*") && mask.length > 1)) {
    throw fieldInvalid(
      "update_mask",
      unknown.length > 0
        ? `${unknown.map((path) => `"${path}"`).join(", ")} cannot be updated; use ${allowed.join(", ")} (in JSON in lowerCamelCase), or "*" for all of them`
        : `"*" stands alone; use it, or some of ${allowed.join(", ")}`,
    );
  }
  const isChanged = (field: DescField): boolean =>
    mask.length === 0 ? isFieldSet(source, field) : mask[0] === "*" || mask.includes(field.name);
  for (const field of schema.fields) {
    if (!allowed.includes(field.name) || !isChanged(field)) continue;
    if (!isFieldSet(source, field)) {
      clearField(target, field);
      continue;
    }
    const name = field.localName as keyof MessageShape<M>;
    target[name] = source[name];
  }
}
