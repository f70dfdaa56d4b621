-- Every act that matters to security. Rows are only ever added, and go when they are older than the retention below.
CREATE TABLE audit_log (
  audit_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  create_time timestamptz NOT NULL,
  action text NOT NULL,
  outcome text NOT NULL CHECK (outcome IN ('DONE', 'REFUSED')),
  -- Who did it, such as "person:<id>" or "anonymous".
  principal text NOT NULL,
  -- What it was done to, such as "session:<id>". An e-mail address stands here as a keyed hash only.
  subject text NOT NULL,
  address text NOT NULL,
  user_agent text NOT NULL,
  -- Closed reason of a refusal, or what was given; empty otherwise.
  detail text NOT NULL CHECK (char_length(detail) <= 512)
);
CREATE INDEX audit_log_create_time ON audit_log (create_time);

-- Holds for every role, the owner of the table included.
CREATE FUNCTION audit_log_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'DELETE' AND OLD.create_time < now() - interval '400 days' THEN
    RETURN OLD;
  END IF;
  RAISE EXCEPTION 'audit_log is append-only';
END
$$;
CREATE TRIGGER audit_log_rows BEFORE UPDATE OR DELETE ON audit_log FOR EACH ROW EXECUTE FUNCTION audit_log_guard();
CREATE TRIGGER audit_log_whole BEFORE TRUNCATE ON audit_log FOR EACH STATEMENT EXECUTE FUNCTION audit_log_guard();
