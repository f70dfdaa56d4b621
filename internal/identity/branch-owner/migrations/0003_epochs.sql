-- The epochs that belong to the versions beside them: compared first, since a restore of user's database raises its epoch.
ALTER TABLE people
  ADD COLUMN profile_epoch bigint NOT NULL DEFAULT 0,
  ADD COLUMN status_epoch bigint NOT NULL DEFAULT 0;
