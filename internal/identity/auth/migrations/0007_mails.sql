-- When it was shown that the person reads mail to their address.
ALTER TABLE accounts ADD COLUMN email_verify_time timestamptz;

-- Mails to be sent, until they are. Neither an address nor a token stands here: the mail is written when it is sent.
CREATE TABLE outgoing_mails (
  mail_id uuid PRIMARY KEY,
  kind text NOT NULL CHECK (kind IN ('VERIFY_EMAIL', 'RESET_PASSWORD')),
  -- NULL when the address that was given has no account: the row is there all the same, and goes unsent. No reference to accounts:
  -- checking it would wait for the account's lock, so that the time would tell who has an account.
  user_id uuid,
  attempts integer NOT NULL,
  next_time timestamptz NOT NULL,
  create_time timestamptz NOT NULL
);
CREATE INDEX outgoing_mails_next_time ON outgoing_mails (next_time);
CREATE INDEX outgoing_mails_user_id ON outgoing_mails (user_id);

-- One-time tokens that mails carry.
CREATE TABLE mail_tokens (
  -- SHA-256 of the token, which has 256 bits that nobody can guess.
  token_hash bytea PRIMARY KEY CHECK (octet_length(token_hash) = 32),
  kind text NOT NULL CHECK (kind IN ('VERIFY_EMAIL', 'RESET_PASSWORD')),
  user_id uuid NOT NULL REFERENCES accounts ON DELETE CASCADE,
  create_time timestamptz NOT NULL,
  expire_time timestamptz NOT NULL
);
CREATE INDEX mail_tokens_user_id ON mail_tokens (user_id, kind);
CREATE INDEX mail_tokens_expire_time ON mail_tokens (expire_time);
