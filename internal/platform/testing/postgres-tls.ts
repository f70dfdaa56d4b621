import { expect } from "bun:test";
import postgres from "postgres";
import type { CertificatePair } from "../tls/issuer.ts";
import { eventually } from "./eventually.ts";
import type { TestPostgres } from "./postgres.ts";

/** Has the server speak TLS with a certificate from a moment on. */
export async function speakTls(server: TestPostgres, { cert, key }: CertificatePair): Promise<void> {
  const sql = postgres(server.adminUrl, { max: 1, onnotice: () => undefined });
  try {
    const round = crypto.randomUUID(); // The server writes the files itself, as the user that it runs as.
    for (const [name, text] of [
      ["cert", cert],
      ["key", key],
    ] as const) {
      const program = `umask 077; cat > ${round}.${name}`; // A key that others may read is refused.
      await sql.unsafe(`COPY (SELECT regexp_split_to_table('${text}', '\n')) TO PROGRAM '${program}'`);
      await sql.unsafe(`ALTER SYSTEM SET ssl_${name}_file = '${round}.${name}'`);
    }
    await sql`ALTER SYSTEM SET ssl = on`;
    await sql`SELECT pg_reload_conf()`;
    await eventually(async () => {
      const [row] = await sql<{ file: string }[]>`SELECT current_setting('ssl_cert_file') AS file`;
      expect(row?.file).toBe(`${round}.cert`);
    });
  } finally {
    await sql.end();
  }
}
