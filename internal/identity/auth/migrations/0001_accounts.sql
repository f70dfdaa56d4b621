-- Accounts and what they sign in with.
CREATE TABLE accounts (
  user_id uuid PRIMARY KEY,
  -- Normalised: two spellings of one address are one row.
  email text NOT NULL UNIQUE CHECK (char_length(email) BETWEEN 3 AND 254),
  display_name text NOT NULL CHECK (char_length(display_name) <= 128),
  -- Argon2id, PHC string with its parameters and salt.
  password_hash text NOT NULL,
  -- aggregate_version of the account's events.
  version bigint NOT NULL CHECK (version > 0),
  create_time timestamptz NOT NULL,
  update_time timestamptz NOT NULL
);

CREATE TABLE role_assignments (
  user_id uuid NOT NULL REFERENCES accounts ON DELETE CASCADE,
  role text NOT NULL,
  create_time timestamptz NOT NULL,
  PRIMARY KEY (user_id, role)
);
CREATE INDEX role_assignments_role ON role_assignments (role);

-- Keys that encrypt a person's fields in events. A destroyed key leaves its row, so that "destroyed" and "unknown" differ.
CREATE TABLE person_keys (
  person_id uuid PRIMARY KEY,
  -- Encrypted with the key-encryption secret.
  key_sealed bytea,
  create_time timestamptz NOT NULL,
  destroy_time timestamptz,
  CHECK ((key_sealed IS NULL) = (destroy_time IS NOT NULL))
);

-- Failed sign-ins, by a keyed hash of what they are counted for: neither addresses nor networks stand here in clear.
CREATE TABLE sign_in_failures (
  subject_hash bytea PRIMARY KEY CHECK (octet_length(subject_hash) = 32),
  failures integer NOT NULL CHECK (failures >= 0),
  -- Failures before it are forgotten.
  window_end_time timestamptz NOT NULL,
  lock_end_time timestamptz
);
CREATE INDEX sign_in_failures_window_end_time ON sign_in_failures (window_end_time);

-- Networks from which a person has signed in: a stranger's failures elsewhere do not lock them out there.
CREATE TABLE familiar_networks (
  user_id uuid NOT NULL REFERENCES accounts ON DELETE CASCADE,
  network_hash bytea NOT NULL CHECK (octet_length(network_hash) = 32),
  use_time timestamptz NOT NULL,
  PRIMARY KEY (user_id, network_hash)
);
CREATE INDEX familiar_networks_use_time ON familiar_networks (use_time);
