-- People. A row is never removed: of a deleted person it is the tombstone, which keeps a late UserCreated from bringing them back.
CREATE TABLE users (
  user_id uuid PRIMARY KEY,
  email text NOT NULL,
  display_name text NOT NULL CHECK (char_length(display_name) <= 128),
  -- Empty for none, as all texts here.
  locale text NOT NULL DEFAULT '',
  time_zone text NOT NULL DEFAULT '',
  phone_number text NOT NULL DEFAULT '',
  picture_uri text NOT NULL DEFAULT '',
  status text NOT NULL CHECK (status IN ('ACTIVE', 'SUSPENDED', 'DELETED')),
  suspend_reason text NOT NULL DEFAULT '',
  -- Membership; a plan is what makes one.
  plan text,
  from_time timestamptz,
  until_time timestamptz,
  paused boolean NOT NULL DEFAULT false,
  -- aggregate_version of UserUpdated.
  version bigint NOT NULL CHECK (version > 0),
  version_time timestamptz NOT NULL,
  -- aggregate_version of UserStatusChanged; 1 until the first change, which is the first that is published.
  status_version bigint NOT NULL CHECK (status_version > 0),
  status_time timestamptz NOT NULL,
  -- Who changed it, such as "person:<id>"; empty before the first change.
  status_principal text NOT NULL DEFAULT '',
  -- That of the last UserCreated that was taken over.
  account_version bigint NOT NULL,
  create_time timestamptz NOT NULL,
  update_time timestamptz NOT NULL,
  CHECK (plan IS NOT NULL OR (from_time IS NULL AND until_time IS NULL AND NOT paused)),
  CHECK (from_time < until_time),
  CHECK (status <> 'DELETED' OR (email = '' AND display_name = '' AND locale = '' AND time_zone = '' AND phone_number = ''
    AND picture_uri = '' AND suspend_reason = '' AND plan IS NULL))
);
CREATE INDEX users_status ON users (status, user_id);
CREATE INDEX users_plan ON users (plan, user_id) WHERE plan IS NOT NULL;
CREATE INDEX users_email ON users (email, user_id);

CREATE TABLE role_assignments (
  user_id uuid NOT NULL REFERENCES users,
  role text NOT NULL CHECK (role IN ('ADMINISTRATOR', 'OWNER', 'HELPER', 'MEMBER')),
  -- Empty for everywhere.
  branch_id text NOT NULL CHECK (char_length(branch_id) <= 64),
  PRIMARY KEY (user_id, role, branch_id),
  CHECK (branch_id = '' OR role IN ('HELPER', 'MEMBER'))
);
CREATE INDEX role_assignments_role ON role_assignments (role, branch_id, user_id);
CREATE INDEX role_assignments_branch_id ON role_assignments (branch_id, user_id);

-- What people have set for themselves. A person without a row has set nothing.
CREATE TABLE preferences (
  user_id uuid PRIMARY KEY REFERENCES users,
  -- Texts by key.
  preferences jsonb NOT NULL,
  version bigint NOT NULL CHECK (version > 0)
);

-- Deletions of people's data: one for each deleted person, kept with the tombstone.
CREATE TABLE erasures (
  -- Random: who knows it may ask how far it has come.
  erasure_id text PRIMARY KEY,
  user_id uuid NOT NULL UNIQUE REFERENCES users,
  state text NOT NULL CHECK (state IN ('ERASING', 'DESTROYING_KEY', 'DONE')),
  create_time timestamptz NOT NULL,
  done_time timestamptz,
  CHECK ((state = 'DONE') = (done_time IS NOT NULL))
);
CREATE INDEX erasures_state ON erasures (state, create_time) WHERE state <> 'DONE';

CREATE TABLE erasure_confirmations (
  erasure_id text NOT NULL REFERENCES erasures,
  -- A service that holds data of people.
  service text NOT NULL,
  confirm_time timestamptz,
  PRIMARY KEY (erasure_id, service)
);
