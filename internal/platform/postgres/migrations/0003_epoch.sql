-- The epoch of this database: 0 until a restore from a copy raises it. What is recorded after that is newer than all that was recorded
-- before, although versions begin again where the copy ended.
CREATE TABLE platform.epoch (
  only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
  epoch bigint NOT NULL CHECK (epoch >= 0)
);
INSERT INTO platform.epoch (epoch) VALUES (0);

-- The epoch in which an event was recorded.
ALTER TABLE platform.outbox ADD COLUMN epoch bigint NOT NULL DEFAULT 0;
