import { noun } from "../terminal/command.ts";
import { list } from "./services/list.ts";
import { secret } from "./services/secret.ts";
import { token } from "./services/token.ts";
import { withdraw } from "./services/withdraw.ts";

/** `muin services`. */
export const services = noun("services", "give services the secrets by which they call each other, and withdraw them", [
  secret,
  list,
  withdraw,
  token,
]);
