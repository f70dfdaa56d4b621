-- Accounts from before a proof of the address was asked for have 7 days for it from now on, as who signs up has. Those that nobody proves go.
ALTER TABLE accounts ADD COLUMN prove_by_time timestamptz;
UPDATE accounts SET prove_by_time = now() + interval '7 days' WHERE email_verify_time IS NULL;
CREATE INDEX accounts_prove_by_time ON accounts (prove_by_time) WHERE email_verify_time IS NULL;
