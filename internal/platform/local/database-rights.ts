import type { Sql } from "postgres";
import type { PostgresServer } from "./postgres-server.ts";

/** A database and its roles. */
export interface DatabaseSpec {
  readonly database: string;
  /** Owns the database and all in it: migrations run as it, and nothing else. */
  readonly schemaRole: string;
  /** Reads and writes rows, changes no schema. */
  readonly dataRole: string;
  /** Roles that may read the named views ("view" or "schema.view") and nothing else. */
  readonly readers: readonly { readonly role: string; readonly views: readonly string[] }[];
}

/** PostgreSQL's limit on names, in bytes. */
const NAME_PATTERN = /^[a-z][a-z0-9_]{0,62}$/;

/**
 * Makes the databases and roles that are missing, and sets all rights anew: a role can connect to its own database alone. To be
 * run at every start, before migrations. `password` gives the password of a role, the same every time.
 */
export async function ensureDatabases(
  server: Pick<PostgresServer, "asAdmin">,
  specs: readonly DatabaseSpec[],
  password: (role: string) => Promise<string>,
): Promise<void> {
  const roles = [
    ...new Set(specs.flatMap((spec) => [spec.schemaRole, spec.dataRole, ...spec.readers.map((reader) => reader.role)])),
  ];
  const secrets = await Promise.all(roles.map(async (role) => ({ role, secret: await password(role) })));
  await server.asAdmin("postgres", async (sql) => {
    const known = new Set((await sql<{ name: string }[]>`SELECT rolname AS name FROM pg_roles`).map((row) => row.name));
    for (const { role, secret } of secrets) {
      if (known.has(role)) continue;
      // DDL takes no parameters; the generated secret holds no quote.
      await sql.unsafe(`CREATE ROLE ${quote(role)} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD '${secret}'`);
    }
    const present = new Set(
      (await sql<{ name: string }[]>`SELECT datname AS name FROM pg_database`).map((row) => row.name),
    );
    for (const spec of specs) {
      const name = quote(spec.database);
      if (!present.has(spec.database)) await sql.unsafe(`CREATE DATABASE ${name} OWNER ${quote(spec.schemaRole)}`);
      await sql.unsafe(`REVOKE ALL ON DATABASE ${name} FROM PUBLIC`);
      await sql.unsafe(`GRANT CONNECT ON DATABASE ${name} TO ${quote(spec.dataRole)}`);
      for (const { role } of spec.readers) await sql.unsafe(`GRANT CONNECT ON DATABASE ${name} TO ${quote(role)}`);
    }
    await sql.unsafe("REVOKE ALL ON DATABASE postgres, template1 FROM PUBLIC");
  });
  await Promise.all(specs.map((spec) => server.asAdmin(spec.database, (sql) => setRights(sql, spec))));
}

/**
 * Gives readers their views. To be run after migrations, which make the views, at every start: views that are no longer named are
 * taken away.
 */
export async function grantViews(
  server: Pick<PostgresServer, "asAdmin">,
  specs: readonly DatabaseSpec[],
): Promise<void> {
  for (const spec of specs) {
    if (spec.readers.length === 0) continue;
    await server.asAdmin(spec.database, async (sql) => {
      await sql.begin(async (tx) => {
        const schemas = await tx<{ name: string }[]>`
          SELECT nspname AS name FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'`;
        for (const { role, views } of spec.readers) {
          const reader = quote(role);
          for (const schema of schemas) {
            await tx.unsafe(`REVOKE ALL ON ALL TABLES IN SCHEMA ${quoteAny(schema.name)} FROM ${reader}`);
            await tx.unsafe(`REVOKE ALL ON SCHEMA ${quoteAny(schema.name)} FROM ${reader}`);
          }
          for (const view of views) {
            const [schema, table] = view.includes(".") ? view.split(".", 2) : ["public", view];
            await tx.unsafe(`GRANT USAGE ON SCHEMA ${quote(schema ?? "")} TO ${reader}`);
            await tx.unsafe(`GRANT SELECT ON ${quote(schema ?? "")}.${quote(table ?? "")} TO ${reader}`);
          }
        }
      });
    });
  }
}

/** Inside one database: the schema role owns, the data role uses what there is and what will be made. */
async function setRights(sql: Sql, spec: DatabaseSpec): Promise<void> {
  const owner = quote(spec.schemaRole);
  const user = quote(spec.dataRole);
  const ofOwner = `ALTER DEFAULT PRIVILEGES FOR ROLE ${owner}`;
  await sql.begin(async (tx) => {
    await tx.unsafe(`ALTER SCHEMA public OWNER TO ${owner}`);
    await tx.unsafe("REVOKE ALL ON SCHEMA public FROM PUBLIC");
    await tx.unsafe(`${ofOwner} REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC`);
    await tx.unsafe(`${ofOwner} GRANT USAGE ON SCHEMAS TO ${user}`);
    await tx.unsafe(`${ofOwner} GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO ${user}`);
    await tx.unsafe(`${ofOwner} GRANT USAGE, SELECT ON SEQUENCES TO ${user}`);
    await tx.unsafe(`${ofOwner} GRANT EXECUTE ON FUNCTIONS TO ${user}`);
    const schemas = await tx<{ name: string }[]>`
      SELECT nspname AS name FROM pg_namespace WHERE pg_get_userbyid(nspowner) = ${spec.schemaRole}`;
    for (const { name } of schemas) {
      const schema = quoteAny(name);
      await tx.unsafe(`GRANT USAGE ON SCHEMA ${schema} TO ${user}`);
      await tx.unsafe(`GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA ${schema} TO ${user}`);
      await tx.unsafe(`GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA ${schema} TO ${user}`);
      await tx.unsafe(`GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA ${schema} TO ${user}`);
    }
  });
}

/** A name from a declaration as an identifier. */
function quote(name: string): string {
  if (!NAME_PATTERN.test(name)) throw new Error(`"${name}" is no name for PostgreSQL: ${NAME_PATTERN.source}`);
  return `"${name}"`;
}

/** A name from the catalogue of PostgreSQL as an identifier. */
function quoteAny(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}
