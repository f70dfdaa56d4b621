-- A row that the bus refuses for itself is parked, with the later rows of its topic and subject behind it, so that all others go on.
ALTER TABLE platform.outbox
  -- When it was parked, in milliseconds since the Unix epoch; null while it waits to be published.
  ADD COLUMN parked_ms bigint,
  -- How often the bus refused it; 0 for a row that waits behind another.
  ADD COLUMN attempts integer NOT NULL DEFAULT 0,
  -- Why the bus refused it the last time; empty for a row that it never refused.
  ADD COLUMN reason text NOT NULL DEFAULT '';

CREATE INDEX outbox_waiting ON platform.outbox (sequence) WHERE parked_ms IS NULL;
CREATE INDEX outbox_parked ON platform.outbox (topic, subject, sequence) WHERE parked_ms IS NOT NULL;
