// @generated from the comments in proto/muin
/* eslint-disable */

/** Loads what the protos of a package say, by the package's name. */
export const commentsOf: Readonly<Record<string, () => Promise<{ comments: Readonly<Record<string, string>> }>>> = {
  "muin.count.v1": () => import("./muin/count/v1/comments.ts"),
  "muin.face.v1": () => import("./muin/face/v1/comments.ts"),
  "muin.identity.v1": () => import("./muin/identity/v1/comments.ts"),
  "muin.platform.v1": () => import("./muin/platform/v1/comments.ts"),
};
