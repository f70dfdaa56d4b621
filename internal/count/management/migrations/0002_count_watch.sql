-- The sum of each Count's change events. Rows change with every batch of writes: room for updates in place, and no index on
-- what changes.
CREATE TABLE count_watch (
  count_id       text COLLATE "C" PRIMARY KEY,
  -- Value at since_revision plus all deltas after it, up to sum_revision.
  sum            bigint NOT NULL,
  sum_revision   bigint NOT NULL,
  since_revision bigint NOT NULL,
  -- An event that came while earlier ones were missing: failure while it is above sum_revision.
  gap_revision   bigint NOT NULL DEFAULT 0,
  -- The first revision at which sum and value differed: a failure. 0 while they were always equal.
  differ_revision bigint NOT NULL DEFAULT 0,
  watch_time     timestamptz NOT NULL
) WITH (fillfactor = 60);
