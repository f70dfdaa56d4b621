CREATE TABLE api_keys (
  api_key_id uuid PRIMARY KEY,
  display_name text NOT NULL CHECK (char_length(display_name) <= 128),
  scopes text[] NOT NULL CHECK (cardinality(scopes) BETWEEN 1 AND 64),
  -- SHA-256 of the secret, which has 256 random bits: no salt is needed.
  secret_hash bytea NOT NULL UNIQUE CHECK (octet_length(secret_hash) = 32),
  -- Set on keys that the installation makes for itself: at most one of a name is live.
  managed_name text,
  -- aggregate_version of the key's events.
  version bigint NOT NULL CHECK (version > 0),
  create_time timestamptz NOT NULL,
  expire_time timestamptz,
  use_time timestamptz,
  revoke_time timestamptz
);
CREATE UNIQUE INDEX api_keys_managed_name ON api_keys (managed_name) WHERE revoke_time IS NULL;
