import wabt from "wabt";

/** The source of WebAssembly in the text format, and the module of its bytes beside it. */
export const wasmSource = "internal/face/access/snapshot/scan.wat";
/** See `wasmSource`. */
export const wasmModule = "internal/face/access/snapshot/scan-module.ts";

/** The module that holds the bytes which a source in the text format makes. Throws with the place of what is wrong in it. */
export async function wasmModuleText(source: string): Promise<string> {
  const tools = await wabt();
  const parsed = tools.parseWat(wasmSource, source, { simd: true, threads: true });
  try {
    const { buffer } = parsed.toBinary({});
    await WebAssembly.compile(new Uint8Array(buffer)); // The tools' own check knows no shared memory.
    return [
      "// @generated from scan.wat",
      "/* eslint-disable */",
      "const bytes =",
      `  "${Buffer.from(buffer).toString("base64")}";`,
      "",
      "/** The bytes of scan.wat as WebAssembly. */",
      "export function scanModule(): Uint8Array<ArrayBuffer> {",
      '  return new Uint8Array(Buffer.from(bytes, "base64"));',
      "}",
      "",
    ].join("\n");
  } finally {
    parsed.destroy();
  }
}
