/** A stream that text is written to: `columns` is the width of its terminal, absent where there is none. */
export interface OutputStream {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): boolean;
}

/** A style of text on a terminal. */
export type Style = "bold" | "dim" | "red" | "green" | "yellow" | "whiteOnBlack";

const styles: Readonly<Record<Style, string>> = {
  bold: "1",
  dim: "2",
  red: "31",
  green: "32",
  yellow: "33",
  whiteOnBlack: "97;40",
};

/** Prints results to standard output, and what is said about them to standard error. */
export interface Output {
  /** A line of the result. */
  print(line: string): void;
  /** A result for a program: one JSON document on one line. */
  json(value: unknown): void;
  /** Rows with aligned columns; numbers are set to the right. */
  table(header: readonly string[], rows: readonly (readonly string[])[]): void;
  /** A line about the work, not part of the result. */
  note(line: string): void;
  /** Replaces the last line of standard error, on a terminal; an empty one removes it. */
  progress(line: string): void;
  /** The text in a style, where the result goes to a terminal that wants colours. */
  readonly paint: (style: Style, text: string) => string;
  /** Whether standard output is a terminal: what is printed is for somebody's eyes, and not kept in a log. */
  readonly printsToTerminal: boolean;
  /** Whether standard error is a terminal. */
  readonly terminal: boolean;
  /** Width of that terminal in characters. */
  readonly columns: number;
}

/** Creates the output. `color` false: no colours whatever the streams are. */
export function createOutput(stdout: OutputStream, stderr: OutputStream, color: boolean): Output {
  const colored = color && stdout.isTTY === true;
  const terminal = stderr.isTTY === true;
  const paint = (style: Style, text: string): string => (colored ? `\u001b[${styles[style]}m${text}\u001b[0m` : text);
  const print = (line: string): void => void stdout.write(`${line}\n`);
  const clear = "\r\u001b[2K";
  let progressShown = false;
  return {
    print,
    paint,
    printsToTerminal: stdout.isTTY === true,
    terminal,
    columns: stderr.columns ?? 80,
    json: (value) => print(JSON.stringify(value)),
    table: (header, rows) => {
      const widths = header.map((title, column) =>
        Math.max(widthOf(title), ...rows.map((row) => widthOf(row[column] ?? ""))),
      );
      const numeric = header.map((_, column) => rows.every((row) => /^-?[\d.]*$/.test(row[column] ?? "")));
      const lineOf = (cells: readonly string[]): string =>
        cells
          .map((cell, column) => {
            const padding = " ".repeat(Math.max(0, (widths[column] ?? 0) - widthOf(cell)));
            return numeric[column] === true ? padding + cell : cell + padding;
          })
          .join("  ")
          .trimEnd();
      print(paint("dim", lineOf(header)));
      for (const row of rows) print(lineOf(row));
    },
    note: (line) => {
      stderr.write(`${progressShown ? clear : ""}${line}\n`);
      progressShown = false;
    },
    progress: (line) => {
      if (!terminal || (line === "" && !progressShown)) return;
      stderr.write(clear + line);
      progressShown = line !== "";
    },
  };
}

function widthOf(text: string): number {
  return Bun.stringWidth(text);
}
