import type { MessageInitShape } from "@bufbuild/protobuf";
import type { Owner, OwnerSchema } from "../../../../../internal/gen/muin/identity/v1/owner_service_pb.ts";
import type { Given } from "../../../terminal/command.ts";

/** The owner that a command is about. */
export const ownerArgument = { help: "the person who is the owner" } as const;

/** What an owner can say of their business. */
export const businessOptions = {
  company: { value: "text", help: "what their business is called" },
  email: { value: "address", help: "e-mail address for business" },
  phone: { value: "number", help: "telephone number for business, such as +82212345678" },
} as const;

/** An owner with what was given of the business. */
export function ownerOf(
  userId: string,
  { company = "", email = "", phone = "" }: Given<unknown, typeof businessOptions>,
): MessageInitShape<typeof OwnerSchema> {
  return { userId, companyName: company, contactEmail: email, contactPhoneNumber: phone };
}

/** The columns of a table of owners. */
export const ownerColumns = {
  PERSON: ({ userId }: Owner) => userId,
  NAME: ({ displayName }: Owner) => displayName,
  COMPANY: ({ companyName }: Owner) => companyName,
  "E-MAIL": ({ contactEmail }: Owner) => contactEmail,
  PHONE: ({ contactPhoneNumber }: Owner) => contactPhoneNumber,
} as const;
