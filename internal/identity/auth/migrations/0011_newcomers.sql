-- People who have no account yet: who signed up and has not shown that the address is theirs, and who was invited. Several rows may
-- have one address: whoever signed up first must not decide with which password the owner of the address begins.
CREATE TABLE newcomers (
  newcomer_id uuid PRIMARY KEY,
  -- Normalised.
  email text NOT NULL CHECK (char_length(email) BETWEEN 3 AND 254),
  display_name text NOT NULL CHECK (char_length(display_name) <= 128),
  -- Argon2id, PHC string; NULL for who was invited.
  password_hash text,
  -- Principal that invited, and its idempotency key; empty for who signed up, and for a request without a key.
  inviter text NOT NULL CHECK (char_length(inviter) <= 128),
  request_id text NOT NULL CHECK (char_length(request_id) <= 64),
  create_time timestamptz NOT NULL,
  expire_time timestamptz NOT NULL,
  CHECK ((password_hash IS NULL) = (inviter <> ''))
);
CREATE INDEX newcomers_email ON newcomers (email, newcomer_id);
CREATE INDEX newcomers_expire_time ON newcomers (expire_time);
CREATE INDEX newcomers_inviter ON newcomers (inviter, request_id) WHERE inviter <> '';

-- A mail goes to an account or to a newcomer. No reference to newcomers, as there is none to accounts.
ALTER TABLE outgoing_mails DROP CONSTRAINT outgoing_mails_kind_check;
ALTER TABLE outgoing_mails ADD CHECK (kind IN ('VERIFY_EMAIL', 'RESET_PASSWORD', 'ACCEPT_INVITATION'));
ALTER TABLE outgoing_mails ADD COLUMN newcomer_id uuid;

ALTER TABLE mail_tokens DROP CONSTRAINT mail_tokens_kind_check;
ALTER TABLE mail_tokens ADD CHECK (kind IN ('VERIFY_EMAIL', 'RESET_PASSWORD', 'ACCEPT_INVITATION'));
ALTER TABLE mail_tokens ALTER COLUMN user_id DROP NOT NULL;
ALTER TABLE mail_tokens ADD COLUMN newcomer_id uuid REFERENCES newcomers ON DELETE CASCADE;
ALTER TABLE mail_tokens ADD CHECK (num_nonnulls(user_id, newcomer_id) = 1);
CREATE INDEX mail_tokens_newcomer_id ON mail_tokens (newcomer_id);

-- From here on nobody has an account before their address is proven. Who runs the installation counts as proven; other accounts that
-- were there before stay as they are.
UPDATE accounts SET email_verify_time = create_time
WHERE email_verify_time IS NULL
  AND user_id IN (SELECT user_id FROM role_assignments WHERE role = 'administrator' AND branch_id = '');
