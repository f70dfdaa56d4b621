-- By what the processes of a service get their tokens: one secret for a service.
CREATE TABLE bootstrap_secrets (
  service_name text PRIMARY KEY,
  -- SHA-256 of the secret; absent while the service is withdrawn.
  secret_hash bytea UNIQUE,
  -- Grows by one with every change.
  version bigint NOT NULL,
  issue_time timestamptz NOT NULL,
  -- When the secret last got a token.
  renew_time timestamptz,
  -- When the service was last withdrawn. It stays when a new secret is issued: tokens from until then are refused.
  withdraw_time timestamptz
);
