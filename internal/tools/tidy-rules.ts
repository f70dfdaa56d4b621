import ts from "typescript";

/** A breach of house style: where, and what. */
export interface Breach {
  readonly line: number;
  readonly what: string;
}

/** A parsed source file. */
export function parse(path: string, text: string): ts.SourceFile {
  return ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true, ts.ScriptKind.TS);
}

function lineOf(source: ts.SourceFile, at: number): number {
  return source.getLineAndCharacterOfPosition(at).line + 1;
}

function* nodesOf(node: ts.Node): Generator<ts.Node> {
  yield node;
  const children: ts.Node[] = [];
  ts.forEachChild(node, (child) => void children.push(child));
  for (const child of children) yield* nodesOf(child);
}

/** How a function is called by its surroundings: its own name, or that of what it is assigned to. */
function nameOf(node: ts.SignatureDeclaration): string {
  if (node.name !== undefined) return node.name.getText();
  const { parent } = node;
  const isNamed =
    ts.isVariableDeclaration(parent) || ts.isPropertyAssignment(parent) || ts.isPropertyDeclaration(parent);
  return isNamed ? parent.name.getText() : "(anonymous)";
}

/** A function's length. */
export interface FunctionLength {
  readonly name: string;
  readonly line: number;
  readonly lines: number;
}

/** Functions of more than `linesMax` lines, without those within which another one is. */
export function longFunctions(source: ts.SourceFile, linesMax: number): readonly FunctionLength[] {
  return [...nodesOf(source)].flatMap((node) => {
    if (!ts.isFunctionLike(node) || !("body" in node) || node.body === undefined) return [];
    const first = lineOf(source, node.getStart());
    const lines = lineOf(source, node.getEnd()) - first + 1;
    return lines > linesMax ? [{ name: nameOf(node), line: first, lines }] : [];
  });
}

/** Begins a statement, or a part of one that is put together. */
const statement =
  /^\s*(SELECT\s|INSERT\s+INTO\s|UPDATE\s+\S+\s+SET\s|DELETE\s+FROM\s|WITH\s+\S+\s+AS\s|(CREATE|ALTER|DROP)\s+(TABLE|ROLE|DATABASE|SCHEMA|INDEX)\s|TRUNCATE\s|GRANT\s|REVOKE\s|LOCK\s+TABLE\s|LISTEN\s|NOTIFY\s)/;

/** Reserved words of SQL that no column of ours is named by. */
const keyword =
  /(?<![\w.:"'$])(select|insert\s+into|update|delete\s+from|from|where|values|returning|inner\s+join|left\s+join|join|order\s+by|group\s+by|limit|on\s+conflict|not\s+null|primary\s+key|references|create\s+table|for\s+update)(?![\w."'(])/g;

/** The texts of a file in which SQL may stand: a template with a tag, with its parameters as `?`, or a plain text. */
function* sqlTexts(
  source: ts.SourceFile,
): Generator<{ readonly at: number; readonly text: string; readonly tagged: boolean }> {
  for (const node of nodesOf(source)) {
    if (ts.isTaggedTemplateExpression(node)) {
      if (node.tag.getText() === "String.raw") continue;
      const { template } = node;
      const text = ts.isNoSubstitutionTemplateLiteral(template)
        ? template.text
        : template.head.text + template.templateSpans.map(({ literal }) => ` ? ${literal.text}`).join("");
      yield { at: node.getStart(), text, tagged: true };
    } else if (ts.isStringLiteral(node) || (ts.isNoSubstitutionTemplateLiteral(node) && !isTagged(node))) {
      yield { at: node.getStart(), text: node.text, tagged: false };
    } else if (ts.isTemplateExpression(node) && !isTagged(node)) {
      yield { at: node.getStart(), text: node.head.text, tagged: false };
    }
  }
}

function isTagged(node: ts.Node): boolean {
  return ts.isTaggedTemplateExpression(node.parent);
}

/** Where a file speaks SQL: each template with a tag but `String.raw`, each call of `unsafe`, each text that begins a statement. */
export function sqlIn(source: ts.SourceFile): readonly Breach[] {
  const texts = [...sqlTexts(source)].filter(({ text, tagged }) => tagged || statement.test(text));
  const calls = [...nodesOf(source)].flatMap((node) => {
    if (!ts.isCallExpression(node) || !ts.isPropertyAccessExpression(node.expression)) return [];
    return node.expression.name.text === "unsafe" ? [{ at: node.getStart(), text: node.getText() }] : [];
  });
  return [...texts, ...calls].map(({ at, text }) => ({
    line: lineOf(source, at),
    what: text.trim().split("\n")[0] ?? "",
  }));
}

/** Keywords of SQL in lower case, in the templates of a file of code. */
export function lowerKeywordsIn(source: ts.SourceFile): readonly Breach[] {
  return [...sqlTexts(source)]
    .filter(({ tagged }) => tagged)
    .flatMap(({ at, text }) => lowerKeywords(text).map((what) => ({ line: lineOf(source, at), what })));
}

/** Keywords of SQL in lower case, in a text of SQL. Comments and quoted texts are none. */
export function lowerKeywords(sql: string): readonly string[] {
  const bare = sql.replaceAll(/--.*$/gm, "").replaceAll(/'[^']*'|"[^"]*"/g, "''");
  return [...bare.matchAll(keyword)].map(([, word = ""]) => word);
}

/** Docstrings that say nothing: what they need stands in the type, and that a factory makes something in its name. */
export function emptyDocstrings(text: string): readonly Breach[] {
  return text.split("\n").flatMap((line, index) => {
    const what = /\/\*\*\s*(Makes the rules\.|What [\w\s'-]+ needs?\.)\s*\*\//.exec(line)?.[1];
    return what === undefined ? [] : [{ line: index + 1, what }];
  });
}

/** Where a file makes an error by hand that a table should have a row for. */
export function errorsByHand(source: ts.SourceFile): readonly Breach[] {
  return newOf(source, "MuinError", () => true);
}

/** Where a file asks the machine what time it is. */
export function datesOfNow(source: ts.SourceFile): readonly Breach[] {
  return newOf(source, "Date", (args) => args === 0);
}

/** SQL that goes by the database's own rules of time zones, or by the zone of its session. */
const zonedSql =
  /\bAT\s+TIME\s+ZONE\b|\b(timezone|date_trunc|date_bin|to_char)\s*\(|\b(CURRENT_DATE|CURRENT_TIME|LOCALTIME|LOCALTIMESTAMP)\b/i;

/**
 * Where a file tells local times by other rules than those of `zones.ts`, as far as no linter sees it: a date made of local fields, an
 * instant written in a time zone, SQL that knows time zones.
 */
export function otherZoneRules(source: ts.SourceFile): readonly Breach[] {
  const texts = [...nodesOf(source)].flatMap((node) => {
    if (!ts.isCallExpression(node) || !ts.isPropertyAccessExpression(node.expression)) return [];
    const isZoned = node.expression.name.text === "toString" && /\btimeZone\b/.test(node.arguments[0]?.getText() ?? "");
    return isZoned ? [{ line: lineOf(source, node.getStart()), what: "toString in a time zone" }] : [];
  });
  return [...newOf(source, "Date", (args) => args > 1), ...texts, ...zonedSqlIn(source)];
}

function zonedSqlIn(source: ts.SourceFile): readonly Breach[] {
  return [...sqlTexts(source)].flatMap(({ at, text, tagged }) => {
    const what = tagged || statement.test(text) ? zonedSqlOf(text) : undefined;
    return what === undefined ? [] : [{ line: lineOf(source, at), what }];
  });
}

/** What of a text of SQL knows time zones; `undefined` for nothing. A line that says 'UTC' goes by no rules. */
export function zonedSqlOf(sql: string): string | undefined {
  return zonedSql.exec(sql.replaceAll(/--.*$/gm, "").replaceAll(/^.*'UTC'.*$/gm, ""))?.[0];
}

function newOf(source: ts.SourceFile, name: string, matches: (args: number) => boolean): readonly Breach[] {
  return [...nodesOf(source)].flatMap((node) => {
    if (!ts.isNewExpression(node) || node.expression.getText() !== name) return [];
    return matches(node.arguments?.length ?? 0) ? [{ line: lineOf(source, node.getStart()), what: `new ${name}` }] : [];
  });
}

/** Tests that may be skipped and whose names, or those of what they stand in, do not say without what. */
export function silentSkips(source: ts.SourceFile): readonly Breach[] {
  return [...nodesOf(source)].flatMap((node) => {
    if (!ts.isCallExpression(node)) return [];
    const called = ts.isCallExpression(node.expression) ? node.expression.expression : node.expression;
    if (!/^(test|describe)\.(.*\.)?(skipIf|skip|todo)$/.test(called.getText())) return [];
    if (called.getText().endsWith(".skipIf") && called === node.expression) return []; // It is called in turn.
    const isSaid = titlesOf(node).some((title) => /\(skipped (without|where|unless) .+\)/.test(title));
    return isSaid ? [] : [{ line: lineOf(source, node.getStart()), what: titlesOf(node)[0] ?? "" }];
  });
}

/** Limits that a test imports from what it tests, to expect of them what they say: `sourceAt` gives the module of a path, if it is known. */
export function importedLimits(
  source: ts.SourceFile,
  sourceAt: (path: string) => ts.SourceFile | undefined,
): readonly Breach[] {
  return source.statements.flatMap((statement) => {
    if (!ts.isImportDeclaration(statement) || !ts.isStringLiteral(statement.moduleSpecifier)) return [];
    const target = sourceAt(statement.moduleSpecifier.text);
    const bindings = statement.importClause?.namedBindings;
    if (target === undefined || bindings === undefined || !ts.isNamedImports(bindings)) return [];
    const limits = numbersExportedBy(target);
    return bindings.elements
      .map(({ propertyName, name }) => (propertyName ?? name).getText())
      .filter((name) => limits.has(name))
      .map((what) => ({ line: lineOf(source, statement.getStart()), what }));
  });
}

/** Names of the constants that a module exports and that are numbers. */
function numbersExportedBy(source: ts.SourceFile): ReadonlySet<string> {
  const exported = source.statements.filter(ts.isVariableStatement).filter(isExported);
  const constants = exported.flatMap(({ declarationList }) => declarationList.declarations);
  return new Set(constants.filter(isNumber).map(({ name }) => name.getText()));
}

function isNumber({ type, initializer }: ts.VariableDeclaration): boolean {
  if (type?.kind === ts.SyntaxKind.NumberKeyword) return true;
  return initializer !== undefined && /^-?\d[\d_.]*n?\b|^Number\.M/.test(initializer.getText());
}

function isExported({ modifiers }: ts.VariableStatement): boolean {
  return modifiers?.some(({ kind }) => kind === ts.SyntaxKind.ExportKeyword) === true;
}

/** The names of a test and of what it stands in. */
function titlesOf(node: ts.Node | undefined): readonly string[] {
  if (node === undefined) return [];
  const own = ts.isCallExpression(node) ? [node.arguments[0]?.getText() ?? ""] : [];
  return [...own, ...titlesOf(node.parent)];
}

/** Files that stand at the top of a service's folder. */
const serviceFiles = new Set(["definition.ts", "config.ts", "errors.ts", "events.ts", "migrations.ts"]);

function isInNoun(file: string): boolean {
  return file.includes("/") && !file.startsWith("migrations/");
}

/**
 * What is out of order in a service's folder, of which all files are given by their paths in it. A service of one noun may have files
 * for further ideas; one of several nouns has a folder for each, whose files leave the noun's name out.
 */
export function strayFiles(files: readonly string[]): readonly string[] {
  const shipped = files.filter((file) => !/\.test\.ts$|-fixture\.ts$|\.contract\.ts$|-(child|worker)\.ts$/.test(file));
  const hasNouns = shipped.some(isInNoun);
  return shipped.filter((file) => {
    if (file.startsWith("migrations/")) return !/^migrations\/\d{4}_[a-z0-9_]+\.sql$/.test(file);
    const [noun = "", name = "", ...deeper] = file.split("/");
    if (isInNoun(file)) return deeper.length > 0 || name.startsWith(`${noun}-`);
    return hasNouns && !serviceFiles.has(file);
  });
}

/** Stores of a service that have no contract, which each of their implementations is held to. */
export function storesWithoutContract(files: readonly string[]): readonly string[] {
  return files.filter(
    (file) =>
      /(^|\/)store-postgres\.ts$/.test(file) && !files.includes(file.replace("store-postgres.ts", "store.contract.ts")),
  );
}
