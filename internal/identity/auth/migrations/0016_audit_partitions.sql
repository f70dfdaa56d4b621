-- The audit log by months (of UTC), so that what is past its retention goes as a whole. Rows keep their numbers.
ALTER TABLE audit_log RENAME TO audit_log_before;
ALTER TABLE audit_log_before DROP CONSTRAINT audit_log_pkey;
DROP INDEX audit_log_create_time, audit_log_principal, audit_log_subject, audit_log_action;

CREATE SEQUENCE audit_log_ids;
CREATE TABLE audit_log (
  audit_id bigint NOT NULL DEFAULT nextval('audit_log_ids'),
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
  detail text NOT NULL CHECK (char_length(detail) <= 512),
  PRIMARY KEY (audit_id, create_time)
) PARTITION BY RANGE (create_time);
ALTER SEQUENCE audit_log_ids OWNED BY audit_log.audit_id;
CREATE INDEX audit_log_principal ON audit_log (principal, audit_id);
CREATE INDEX audit_log_subject ON audit_log (subject, audit_id);
CREATE INDEX audit_log_action ON audit_log (action, audit_id);

-- Of months that have no partition of their own: a clock was wrong, or nobody made it in time.
CREATE TABLE audit_log_rest PARTITION OF audit_log DEFAULT;
CREATE INDEX audit_log_rest_create_time ON audit_log_rest (create_time);

-- As before, but for how long rows are kept at the least: a setting says how long they are kept.
CREATE OR REPLACE FUNCTION audit_log_guard() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  blanked audit_log;
BEGIN
  IF TG_OP = 'DELETE' AND OLD.create_time < now() - interval '90 days' THEN
    RETURN OLD;
  END IF;
  IF TG_OP = 'UPDATE' THEN
    blanked := OLD;
    blanked.address := '';
    blanked.user_agent := '';
    IF NEW = blanked AND (OLD.subject LIKE 'email:%'
      OR NOT EXISTS (SELECT 1 FROM accounts WHERE OLD.principal = 'person:' || user_id)
      AND OLD.principal LIKE 'person:%') THEN
      RETURN NEW;
    END IF;
  END IF;
  RAISE EXCEPTION 'audit_log is append-only';
END
$$;
CREATE TRIGGER audit_log_rows BEFORE UPDATE OR DELETE ON audit_log FOR EACH ROW EXECUTE FUNCTION audit_log_guard();
CREATE TRIGGER audit_log_whole BEFORE TRUNCATE ON audit_log FOR EACH STATEMENT EXECUTE FUNCTION audit_log_guard();
CREATE TRIGGER audit_log_whole BEFORE TRUNCATE ON audit_log_rest FOR EACH STATEMENT EXECUTE FUNCTION audit_log_guard();

-- Makes the partition of the month in which a time lies, and moves there what stands in audit_log_rest of it. For roles that may change rows only.
CREATE FUNCTION audit_log_make_month(at timestamptz) RETURNS void LANGUAGE plpgsql
  SECURITY DEFINER SET search_path = public, pg_temp SET lock_timeout = '2s' AS $$
DECLARE
  first timestamptz := date_trunc('month', at, 'UTC');
  next timestamptz := date_trunc('month', first + interval '32 days', 'UTC');
  part text := 'audit_log_' || to_char(first AT TIME ZONE 'UTC', 'YYYY_MM');
  has_rows boolean;
BEGIN
  IF to_regclass(part) IS NOT NULL THEN
    RETURN;
  END IF;
  has_rows := EXISTS (SELECT FROM audit_log_rest WHERE create_time >= first AND create_time < next);
  IF has_rows THEN
    ALTER TABLE audit_log DETACH PARTITION audit_log_rest;
    ALTER TABLE audit_log_rest RENAME TO audit_log_moved;
    DROP INDEX audit_log_rest_create_time;
    CREATE TABLE audit_log_rest PARTITION OF audit_log DEFAULT;
    CREATE INDEX audit_log_rest_create_time ON audit_log_rest (create_time);
    CREATE TRIGGER audit_log_whole BEFORE TRUNCATE ON audit_log_rest FOR EACH STATEMENT EXECUTE FUNCTION audit_log_guard();
  END IF;
  EXECUTE format('CREATE TABLE %I PARTITION OF audit_log FOR VALUES FROM (%L) TO (%L)', part, first, next);
  EXECUTE format('CREATE TRIGGER audit_log_whole BEFORE TRUNCATE ON %I FOR EACH STATEMENT EXECUTE FUNCTION audit_log_guard()', part);
  IF has_rows THEN
    INSERT INTO audit_log SELECT * FROM audit_log_moved;
    DROP TABLE audit_log_moved;
  END IF;
END
$$;

-- Removes the months that ended so many days ago, by this server's clock; 90 at the least. Returns how many. For roles that may change rows only.
CREATE FUNCTION audit_log_drop_months(retention_days integer) RETURNS integer LANGUAGE plpgsql
  SECURITY DEFINER SET search_path = public, pg_temp SET lock_timeout = '2s' AS $$
DECLARE
  part text;
  dropped integer := 0;
BEGIN
  FOR part IN
    SELECT relname FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
    WHERE inhparent = 'audit_log'::regclass AND relname ~ '^audit_log_\d{4}_\d{2}$'
      AND date_trunc('month', to_date(right(relname, 7), 'YYYY_MM')::timestamp AT TIME ZONE 'UTC' + interval '32 days', 'UTC')
        <= now() - make_interval(days => greatest(retention_days, 90))
    ORDER BY relname
  LOOP
    EXECUTE format('DROP TABLE %I', part);
    dropped := dropped + 1;
  END LOOP;
  RETURN dropped;
END
$$;
REVOKE EXECUTE ON FUNCTION audit_log_make_month, audit_log_drop_months FROM PUBLIC;

-- What was there before, and the months ahead.
SELECT audit_log_make_month(month) FROM (
  SELECT DISTINCT date_trunc('month', create_time, 'UTC') AS month FROM audit_log_before WHERE create_time > now() - interval '11 years'
    AND create_time < now() + interval '1 month'
  UNION SELECT now() + n * interval '28 days' FROM generate_series(0, 2) AS n) AS months;
INSERT INTO audit_log SELECT audit_id, create_time, action, outcome, principal, subject, address, user_agent, detail FROM audit_log_before;
SELECT setval('audit_log_ids', greatest(max(audit_id), 1), max(audit_id) IS NOT NULL) FROM audit_log_before;
DROP TABLE audit_log_before;
