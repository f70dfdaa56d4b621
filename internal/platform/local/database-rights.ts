import type { Sql } from "postgres";
import type { PostgresServer } from "./postgres-server.ts";

/** A database and its roles. */
export interface DatabaseSpec {
  readonly database: string;
  /** Owns the database and all in it: migrations run as it, and nothing else. */
  readonly schemaRole: string;
  /** Reads and writes rows, changes no schema. */
  readonly dataRole: string;
  /** Roles of other services, which the migrator lets read some views. */
  readonly readers: readonly { readonly role: string }[];
}

/** PostgreSQL's limit on names, in bytes. */
const namePattern = /^[a-z][a-z0-9_]{0,62}$/;

/**
 * Makes the databases and roles that are missing, and sets their rights anew: a role can connect to its own database alone. To be
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
 * Inside one database: PUBLIC has nothing, the schema role owns the schema in which it starts, and readers have lost what an
 * earlier declaration gave them. What is declared now is given by the migrator, once the tables and views are there.
 */
async function setRights(sql: Sql, spec: DatabaseSpec): Promise<void> {
  await sql.begin(async (tx) => {
    await tx.unsafe(`ALTER SCHEMA public OWNER TO ${quote(spec.schemaRole)}`);
    await tx.unsafe("REVOKE ALL ON SCHEMA public FROM PUBLIC");
    const schemas = await tx<{ name: string }[]>`
      SELECT nspname AS name FROM pg_namespace WHERE pg_get_userbyid(nspowner) = ${spec.schemaRole}`;
    for (const { role } of spec.readers) {
      for (const { name } of schemas) {
        const schema = `"${name.replaceAll('"', '""')}"`;
        await tx.unsafe(`REVOKE ALL ON ALL TABLES IN SCHEMA ${schema} FROM ${quote(role)}`);
        await tx.unsafe(`REVOKE ALL ON SCHEMA ${schema} FROM ${quote(role)}`);
      }
    }
  });
}

/** A name from a declaration as an identifier. */
function quote(name: string): string {
  if (!namePattern.test(name)) throw new Error(`"${name}" is no name for PostgreSQL: ${namePattern.source}`);
  return `"${name}"`;
}
