import type { DescMethod } from "@bufbuild/protobuf";
import { OperationsService } from "../../../internal/gen/muin/platform/v1/operations_service_pb.ts";
import { PersonalDataService } from "../../../internal/gen/muin/platform/v1/personal_data_service_pb.ts";
import { editsBetween } from "../../../internal/platform/config/edit-distance.ts";
import { Failure } from "../terminal/failure.ts";

/** Every method of every RPC service of Muin. */
export interface Methods {
  readonly all: readonly DescMethod[];
  /**
   * The method of a name such as "CountReadService/GetCount" or "muin.count.v1.CountReadService/GetCount". Throws a usage failure
   * that tells the nearest names when there is none, or several.
   */
  find(name: string): DescMethod;
}

/** More edits than this part of a name, and two names have nothing to do with each other. */
const nearEditsPart = 0.4;

/** Names that take so many edits more than the nearest are not meant. */
const nearEditsSpread = 2;

/** Names that an error tells. */
const nearNamesMax = 4;

/** Derives the methods from the catalogue, and from what every process serves. */
export async function loadMethods(): Promise<Methods> {
  // Loaded when asked for: most commands need no service.
  const { catalog } = await import("../../../internal/catalog.ts");
  const services = [...catalog.flatMap(({ serves }) => serves), OperationsService, PersonalDataService];
  const all = services.flatMap(({ methods }) => methods);
  return {
    all,
    find: (name) => {
      const asked = name.replace(/^\//, "");
      const found = all.filter((method) => asked === fullNameOf(method) || asked === shortNameOf(method));
      const [first, second] = found;
      if (first !== undefined && second === undefined) return first;
      if (first !== undefined) throw new Failure("usage", `${name} may be ${found.map(fullNameOf).join(" or ")}`);
      const near = nearNames(asked, all);
      const hint = near.length === 0 ? `"muin call --list" shows all` : `is ${near.join(" or ")} meant?`;
      throw new Failure("usage", `there is no method ${name}; ${hint}`);
    },
  };
}

/** Such as "CountReadService/GetCount". */
export function shortNameOf({ parent, name }: DescMethod): string {
  return `${parent.name}/${name}`;
}

function fullNameOf({ parent, name }: DescMethod): string {
  return `${parent.typeName}/${name}`;
}

/** Short names of methods, the nearest first: those whose method begins as asked, and those that differ by a few letters. */
function nearNames(asked: string, all: readonly DescMethod[]): readonly string[] {
  const [service = "", method = service] = asked
    .slice(asked.lastIndexOf(".") + 1)
    .toLowerCase()
    .split("/");
  const candidates = all
    .map((candidate) => {
      const name = candidate.name.toLowerCase();
      const byMethod = method !== "" && name.startsWith(method) ? 0 : editsBetween(method, name);
      const byService = asked.includes("/") ? editsBetween(service, candidate.parent.name.toLowerCase()) : 0;
      return { name: shortNameOf(candidate), byMethod, edits: byMethod + byService };
    })
    .filter(({ byMethod, edits }) => byMethod === 0 || edits <= asked.length * nearEditsPart)
    .toSorted((a, b) => a.edits - b.edits);
  const [nearest] = candidates;
  return candidates
    .filter(({ edits }) => edits <= (nearest?.edits ?? 0) + nearEditsSpread)
    .slice(0, nearNamesMax)
    .map(({ name }) => name);
}
