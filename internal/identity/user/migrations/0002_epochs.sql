-- The epoch that belongs to account_version: compared first, since a restore of auth's database raises its epoch.
ALTER TABLE users ADD COLUMN account_epoch bigint NOT NULL DEFAULT 0;
