-- What was asked for within an hour, by a keyed hash of kind and network, or of the kind alone for all networks.
CREATE TABLE network_quotas (
  subject_hash bytea PRIMARY KEY CHECK (octet_length(subject_hash) = 32),
  uses integer NOT NULL CHECK (uses > 0),
  -- Uses before it are forgotten from then on.
  window_end_time timestamptz NOT NULL
);
CREATE INDEX network_quotas_window_end_time ON network_quotas (window_end_time);
