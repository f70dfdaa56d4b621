-- Scopes that were given to a person, beside those of their roles.
CREATE TABLE scope_grants (
  user_id uuid NOT NULL REFERENCES accounts ON DELETE CASCADE,
  scope text NOT NULL CHECK (char_length(scope) BETWEEN 1 AND 64),
  create_time timestamptz NOT NULL,
  PRIMARY KEY (user_id, scope)
);
CREATE INDEX audit_log_action ON audit_log (action, audit_id);
