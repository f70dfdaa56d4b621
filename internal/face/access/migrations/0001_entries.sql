-- What happened at doors. The numbers of kind, decision, reason, source and replay_check are those of muin/face/v1/entry.proto.
CREATE TABLE entries (
  entry_id        text COLLATE "C" PRIMARY KEY,
  -- Grows in the order in which entries become visible: whoever records some holds a lock until they are.
  sequence        bigint GENERATED ALWAYS AS IDENTITY,
  branch_id       text COLLATE "C" NOT NULL,
  device_id       text COLLATE "C" NOT NULL,
  kind            smallint NOT NULL,
  decision        smallint NOT NULL,
  reason          smallint NOT NULL,
  -- Empty when nobody was recognised; a pseudonym once the person is erased.
  member_id       text COLLATE "C" NOT NULL,
  model_id        text NOT NULL,
  source          smallint NOT NULL,
  snapshot_age_ms bigint NOT NULL,
  replay_check    smallint NOT NULL,
  capture_time    timestamptz NOT NULL,
  decide_time     timestamptz NOT NULL,
  decide_micros   bigint NOT NULL,
  search_micros   bigint NOT NULL
);

CREATE UNIQUE INDEX entries_sequence ON entries (sequence);
CREATE INDEX entries_time ON entries (decide_time, entry_id);
CREATE INDEX entries_branch ON entries (branch_id, decide_time, entry_id);
CREATE INDEX entries_member ON entries (member_id, decide_time, entry_id) WHERE member_id <> '';

-- One row: the highest sequence of an entry that was removed.
CREATE TABLE entry_removal (
  only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
  sequence bigint NOT NULL DEFAULT 0
);
INSERT INTO entry_removal DEFAULT VALUES;

-- Deleted people, so that an entry that is recorded after their erasure gets a pseudonym too.
CREATE TABLE erased_people (
  member_id text COLLATE "C" PRIMARY KEY
);
