-- A second factor (TOTP, RFC 6238).
CREATE TABLE totp_factors (
  user_id uuid PRIMARY KEY REFERENCES accounts ON DELETE CASCADE,
  -- Encrypted with the key-encryption secret.
  secret_sealed bytea NOT NULL,
  create_time timestamptz NOT NULL,
  -- NULL: not in force yet.
  confirm_time timestamptz,
  -- Codes of this step and earlier ones are used up.
  used_step bigint NOT NULL
);

-- Each stands in for a code once, and goes.
CREATE TABLE recovery_codes (
  user_id uuid NOT NULL REFERENCES totp_factors ON DELETE CASCADE,
  -- Keyed.
  code_hash bytea NOT NULL CHECK (octet_length(code_hash) = 32),
  PRIMARY KEY (user_id, code_hash)
);

-- Sign-ins whose password was right and whose code is awaited.
CREATE TABLE sign_in_challenges (
  challenge_hash bytea PRIMARY KEY CHECK (octet_length(challenge_hash) = 32),
  user_id uuid NOT NULL REFERENCES accounts ON DELETE CASCADE,
  expire_time timestamptz NOT NULL
);
CREATE INDEX sign_in_challenges_user_id ON sign_in_challenges (user_id, expire_time);
CREATE INDEX sign_in_challenges_expire_time ON sign_in_challenges (expire_time);
