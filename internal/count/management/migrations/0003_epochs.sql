-- The counts store's generation that the sum and its revisions belong to.
ALTER TABLE count_watch ADD COLUMN epoch bigint NOT NULL DEFAULT 0;

-- Readers compare the epoch before the version: a restore of this database raises it.
CREATE OR REPLACE VIEW count_info_v1 AS
  SELECT count_id, display_name, labels, min_value, max_value, state, version, 'v' || version AS etag, create_time,
    update_time, (SELECT epoch FROM platform.epoch) AS epoch
  FROM count_info
  WHERE state <> 'PENDING';
