-- Entry passes that were issued. A pass itself is kept nowhere: its signature proves it.
CREATE TABLE entry_passes (
  entry_pass_id uuid PRIMARY KEY,
  -- NULL once the person is erased: that the pass was revoked is told as long as it matters.
  user_id uuid REFERENCES accounts ON DELETE SET NULL,
  branch_id text NOT NULL,
  -- aggregate_version of the pass's events.
  version bigint NOT NULL CHECK (version > 0),
  issue_time timestamptz NOT NULL,
  expire_time timestamptz NOT NULL,
  revoke_time timestamptz
);
CREATE INDEX entry_passes_user_id ON entry_passes (user_id, expire_time);
CREATE INDEX entry_passes_expire_time ON entry_passes (expire_time);
