-- A session is the family of its refresh tokens; its row is the one lock under which they rotate.
CREATE TABLE sessions (
  session_id uuid PRIMARY KEY,
  user_id uuid NOT NULL REFERENCES accounts ON DELETE CASCADE,
  user_agent text NOT NULL CHECK (char_length(user_agent) <= 256),
  address text NOT NULL CHECK (char_length(address) <= 64),
  -- SHA-256 of the one refresh token that is good.
  refresh_hash bytea NOT NULL CHECK (octet_length(refresh_hash) = 32),
  -- aggregate_version of the session's events.
  version bigint NOT NULL CHECK (version > 0),
  create_time timestamptz NOT NULL,
  use_time timestamptz NOT NULL,
  expire_time timestamptz NOT NULL,
  end_time timestamptz
);
CREATE INDEX sessions_user_id ON sessions (user_id, session_id);
CREATE INDEX sessions_expire_time ON sessions (expire_time);
CREATE INDEX sessions_end_time ON sessions (end_time) WHERE end_time IS NOT NULL;

-- Refresh tokens that were exchanged a moment ago, so that a repeat by the same client gets the same successor.
CREATE TABLE refresh_graces (
  refresh_hash bytea PRIMARY KEY CHECK (octet_length(refresh_hash) = 32),
  session_id uuid NOT NULL REFERENCES sessions ON DELETE CASCADE,
  -- The successor, encrypted with a key that only the exchanged token gives.
  successor_sealed bytea NOT NULL,
  client_hash bytea NOT NULL CHECK (octet_length(client_hash) = 32),
  rotate_time timestamptz NOT NULL
);
CREATE INDEX refresh_graces_session_id ON refresh_graces (session_id, rotate_time);

-- Ed25519 keys that sign tokens.
CREATE TABLE signing_keys (
  kid text PRIMARY KEY,
  -- Public key, 32 bytes.
  public_key bytea NOT NULL CHECK (octet_length(public_key) = 32),
  -- Seed of the private key, encrypted with the key-encryption secret.
  seed_sealed bytea NOT NULL,
  create_time timestamptz NOT NULL,
  -- It signs from here on, until the next key does.
  sign_time timestamptz NOT NULL,
  -- End of the longest-lived token it signed, where that is a service's token.
  token_expire_time timestamptz NOT NULL
);
