/** What the thread of the tests is asked. */
export type Question =
  | { readonly kind: "sum"; readonly a: number; readonly b: number }
  | { readonly kind: "fill"; readonly shared: SharedArrayBuffer; readonly value: number }
  | { readonly kind: "fail" }
  | { readonly kind: "hang" };

/** What it answers. */
export type Reply =
  { readonly kind: "sum"; readonly sum: number } | { readonly kind: "filled" } | { readonly kind: "stuck" };
