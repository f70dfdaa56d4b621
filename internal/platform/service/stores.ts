import type { Database, Migration, ReadOnlyDatabase } from "../postgres/database.ts";
import type { RedisReader, RedisStore } from "../redis/redis-store.ts";

/** A PostgreSQL database that the service owns: schema role for migrations, data role for the service. */
export interface PostgresDecl {
  readonly kind: "postgres";
  readonly access: "owner";
  /** Database name, lower_snake. */
  readonly database: string;
  /** In the order in which they are applied. */
  readonly migrations: readonly Migration[];
}

/** Views of a database that another service owns and publishes as a contract. */
export interface PostgresViewsDecl {
  readonly kind: "postgres";
  readonly access: "read-only";
  readonly database: string;
  /** Views that may be read. */
  readonly views: readonly string[];
}

/** The right to part of a Redis server. */
export interface RedisDecl<A extends "read-only" | "read-write" = "read-only" | "read-write"> {
  readonly kind: "redis";
  readonly access: A;
  /** Name of the server, lower-case, by what it holds: "counts". Each is a process with passwords of its own. */
  readonly server: string;
  /** The primary, or a replica of it where there is one. */
  readonly role: "primary" | "replica";
  /** What is durable is on disk before it is acknowledged; a cache may be emptied at any moment, and be away. */
  readonly durability: "durable" | "cache";
  /** Key patterns, as Redis ACL writes them without the leading "~", such as "count:*". */
  readonly keys: readonly string[];
  /** Whether vector sets are among what the keys hold: Redis counts their commands to no class of an ACL. */
  readonly vectorSets: boolean;
}

/** A folder on the local disk that one process at a time holds: for what must be there while everything else is away. */
export interface FolderDecl {
  readonly kind: "folder";
  readonly access: "owner";
}

export type StoreDecl = PostgresDecl | PostgresViewsDecl | RedisDecl | FolderDecl;

/** Declares the service's own database. */
export function postgres(options: {
  readonly database: string;
  readonly migrations: readonly Migration[];
}): PostgresDecl {
  return { kind: "postgres", access: "owner", ...options };
}

/** Declares a read-only look at views of another service's database. */
export function postgresViews(options: {
  readonly database: string;
  readonly views: readonly string[];
}): PostgresViewsDecl {
  return { kind: "postgres", access: "read-only", ...options };
}

/** Declares the right to keys of a Redis server. Default: its primary, which is durable; without vector sets. */
export function redis<const A extends "read-only" | "read-write">(
  server: string,
  access: A,
  options: {
    readonly keys: readonly string[];
    readonly role?: "primary" | "replica";
    readonly durability?: "durable" | "cache";
    readonly vectorSets?: boolean;
  },
): RedisDecl<A> {
  const { keys, role = "primary", durability = "durable", vectorSets = false } = options;
  return { kind: "redis", access, server, role, durability, keys, vectorSets };
}

/** Declares a folder of the service's own on the local disk. A second process that is given the same one does not start. */
export function folder(): FolderDecl {
  return { kind: "folder", access: "owner" };
}

/** A folder that this process holds from the start of its stores until their stop. Only the account that it runs as enters it. */
export interface Folder {
  /** Absolute path. The names "lock" and "identity.log" in it are taken. */
  readonly path: string;
}

/** What a service gets for a declared store. */
export type StoreHandle<D> = D extends PostgresDecl
  ? Database
  : D extends PostgresViewsDecl
    ? ReadOnlyDatabase
    : D extends RedisDecl<"read-write">
      ? RedisStore
      : D extends RedisDecl<"read-only">
        ? RedisReader
        : D extends FolderDecl
          ? Folder
          : never;
