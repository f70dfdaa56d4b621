-- What auth knows of people and branches by events of other services, and which faces are enrolled.
ALTER TABLE accounts
  -- What UserCreated told, so that telling it again at the same version tells the same.
  ADD COLUMN sign_up_roles text[] NOT NULL DEFAULT '{}',
  -- aggregate_version of the UserUpdated that the roles come from; 0 before the first.
  ADD COLUMN roles_version bigint NOT NULL DEFAULT 0,
  ADD COLUMN status text NOT NULL DEFAULT 'ACTIVE' CHECK (status IN ('ACTIVE', 'SUSPENDED')),
  -- aggregate_version of the UserStatusChanged that the status comes from; 0 before the first.
  ADD COLUMN status_version bigint NOT NULL DEFAULT 0;
UPDATE accounts SET sign_up_roles = ARRAY(SELECT role FROM role_assignments r WHERE r.user_id = accounts.user_id ORDER BY role);

-- Empty: everywhere.
ALTER TABLE role_assignments ADD COLUMN branch_id text NOT NULL DEFAULT '' CHECK (char_length(branch_id) <= 64);
ALTER TABLE role_assignments DROP CONSTRAINT role_assignments_pkey;
ALTER TABLE role_assignments ADD PRIMARY KEY (user_id, role, branch_id);

CREATE TABLE branches (
  branch_id text PRIMARY KEY CHECK (char_length(branch_id) BETWEEN 1 AND 64),
  owner_id text NOT NULL CHECK (char_length(owner_id) <= 64),
  -- aggregate_version of the event that the row comes from.
  version bigint NOT NULL
);

-- Who is enrolled, with which model and which consent; never a vector. An erased one keeps its row, so that an older event is known as such.
CREATE TABLE enrolments (
  enrolment_id text PRIMARY KEY CHECK (char_length(enrolment_id) BETWEEN 1 AND 64),
  user_id uuid NOT NULL REFERENCES accounts ON DELETE CASCADE,
  branch_ids text[] NOT NULL,
  model_id text NOT NULL,
  consent_text_version text NOT NULL,
  consent_time timestamptz,
  enrol_time timestamptz,
  erase_time timestamptz,
  -- aggregate_version of the event that the row comes from.
  version bigint NOT NULL
);
CREATE INDEX enrolments_user_id ON enrolments (user_id, enrolment_id);

-- An erased person leaves only ids here: where they called from may be blanked once their account is gone, and nothing else ever.
CREATE OR REPLACE FUNCTION audit_log_guard() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  blanked audit_log;
BEGIN
  IF TG_OP = 'DELETE' AND OLD.create_time < now() - interval '400 days' THEN
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
CREATE INDEX audit_log_principal ON audit_log (principal, audit_id);
CREATE INDEX audit_log_subject ON audit_log (subject, audit_id);
