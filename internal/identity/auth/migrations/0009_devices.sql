-- Devices at doors, and the codes by which they get their keys.
CREATE TABLE devices (
  device_id uuid PRIMARY KEY,
  display_name text NOT NULL CHECK (char_length(display_name) <= 128),
  branch_ids text[] NOT NULL CHECK (cardinality(branch_ids) BETWEEN 1 AND 32),
  -- Keyed: a code that a person can type could be guessed from a plain hash.
  activation_hash bytea NOT NULL UNIQUE CHECK (octet_length(activation_hash) = 32),
  activation_expire_time timestamptz NOT NULL,
  -- Ed25519; NULL until it is activated.
  public_key bytea UNIQUE CHECK (octet_length(public_key) = 32),
  -- aggregate_version of the device's events.
  version bigint NOT NULL CHECK (version > 0),
  create_time timestamptz NOT NULL,
  activate_time timestamptz,
  token_time timestamptz,
  revoke_time timestamptz,
  CHECK ((public_key IS NULL) = (activate_time IS NULL))
);
CREATE INDEX branches_owner_id ON branches (owner_id);
