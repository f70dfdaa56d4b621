-- The epochs that belong to the versions beside them: compared first, since a restore of the owner's database raises its epoch.
ALTER TABLE accounts
  ADD COLUMN roles_epoch bigint NOT NULL DEFAULT 0,
  ADD COLUMN status_epoch bigint NOT NULL DEFAULT 0;
ALTER TABLE branches ADD COLUMN epoch bigint NOT NULL DEFAULT 0;
ALTER TABLE enrolments ADD COLUMN epoch bigint NOT NULL DEFAULT 0;
