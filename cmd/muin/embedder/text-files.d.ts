/** A program that is imported `with { type: "text" }`, so that a compiled binary carries it. */
declare module "*.mjs" {
  const text: string;
  export default text;
}
