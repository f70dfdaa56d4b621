-- What is known of each Count. A row is never removed: a deleted Count can come back, and its id is never given to another.
CREATE TABLE count_info (
  count_id      text COLLATE "C" PRIMARY KEY,
  display_name  text NOT NULL,
  labels        jsonb NOT NULL,
  min_value     bigint,
  max_value     bigint,
  state         text NOT NULL CHECK (state IN ('PENDING', 'ACTIVE', 'DELETING', 'DELETED')),
  -- The change that made this content: aggregate_version of events, and the etag. 0 while PENDING.
  version       bigint NOT NULL,
  -- The number last given to a change, refused ones included; the counts store decides each number once.
  info_revision bigint NOT NULL,
  create_time   timestamptz NOT NULL,
  update_time   timestamptz NOT NULL
);

CREATE INDEX count_info_state ON count_info (state, count_id);
CREATE INDEX count_info_labels ON count_info USING gin (labels jsonb_path_ops);

-- Changes on their way through the counts store, at most one per Count. A row left here by a crash is finished by the sweeper.
CREATE TABLE count_change (
  count_id      text COLLATE "C" PRIMARY KEY REFERENCES count_info,
  info_revision bigint NOT NULL,
  operation     text NOT NULL CHECK (operation IN ('CREATE', 'UPDATE', 'DELETE', 'UNDELETE')),
  -- The content once the change is made.
  display_name  text NOT NULL,
  labels        jsonb NOT NULL,
  min_value     bigint,
  max_value     bigint,
  -- CREATE only.
  initial_value bigint,
  -- Whose request it is; request_id is null when the caller gave none.
  principal     text NOT NULL,
  request_id    text,
  -- When the change was accepted: becomes the Count's update_time.
  start_time    timestamptz NOT NULL,
  -- When it was last taken up.
  attempt_time  timestamptz NOT NULL
);

CREATE INDEX count_change_attempt ON count_change (attempt_time);

-- Mutations by the request_id of their caller, so that a repeated one gets the first reply.
CREATE TABLE request_memory (
  principal   text NOT NULL,
  request_id  text NOT NULL,
  -- SHA-256 of the operation and what it asked for.
  fingerprint bytea NOT NULL,
  count_id    text NOT NULL,
  -- The reply in protobuf binary; null while the change is on its way.
  response    bytea,
  expire_time timestamptz NOT NULL,
  PRIMARY KEY (principal, request_id)
);

CREATE INDEX request_memory_expiry ON request_memory (expire_time);

-- The contract with count-read. A Count that is being created does not exist yet.
CREATE VIEW count_info_v1 AS
  SELECT count_id, display_name, labels, min_value, max_value, state, version, 'v' || version AS etag, create_time,
    update_time
  FROM count_info
  WHERE state <> 'PENDING';
