import encode from "qr";

/** Four light modules around the code, as ISO/IEC 18004 asks for; and least redundancy: a screen is not torn or dirty. */
const form = { border: 4, ecc: "low" } as const;

/** A text as a QR code for a terminal, two rows a line: a light module is drawn in the colour of text. */
export function qrCodeLines(text: string): readonly string[] {
  const rows = encode(text, "raw", form);
  return rows.flatMap((upper, row) => {
    if (row % 2 === 1) return [];
    const lower = rows[row + 1];
    return upper.map((isDark, column) => blockOf(!isDark, lower?.[column] === false)).join("");
  });
}

/** The same as a picture in SVG, black on white. */
export function qrCodeSvg(text: string): string {
  const rows = encode(text, "raw", form);
  const modules = rows.flatMap((row, y) => row.flatMap((isDark, x) => (isDark ? [`M${x} ${y}h1v1h-1z`] : [])));
  const size = `viewBox="0 0 ${rows.length} ${rows.length}" shape-rendering="crispEdges"`;
  const ground = `<rect width="100%" height="100%" fill="#fff"/>`;
  return `<svg xmlns="http://www.w3.org/2000/svg" ${size}>${ground}<path d="${modules.join("")}"/></svg>\n`;
}

function blockOf(upper: boolean, lower: boolean): string {
  if (upper) return lower ? "█" : "▀";
  return lower ? "▄" : " ";
}
