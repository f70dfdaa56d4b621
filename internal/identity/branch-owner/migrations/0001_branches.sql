-- People as far as branches need them. A row stays when its person is deleted, with nothing but the id: whatever comes late about
-- them changes nothing.
CREATE TABLE people (
  user_id         text COLLATE "C" PRIMARY KEY,
  display_name    text NOT NULL,
  status          text NOT NULL CHECK (status IN ('ACTIVE', 'SUSPENDED', 'DELETED')),
  -- Last versions of UserUpdated and of UserStatusChanged; 0 before the first.
  profile_version bigint NOT NULL DEFAULT 0,
  status_version  bigint NOT NULL DEFAULT 0
);

CREATE TABLE owners (
  user_id              text COLLATE "C" PRIMARY KEY REFERENCES people,
  company_name         text NOT NULL,
  contact_email        text NOT NULL,
  contact_phone_number text NOT NULL,
  version              bigint NOT NULL,
  create_time          timestamptz NOT NULL,
  update_time          timestamptz NOT NULL
);

CREATE TABLE branches (
  branch_id   text COLLATE "C" PRIMARY KEY,
  owner_id    text COLLATE "C" NOT NULL REFERENCES owners,
  state       text NOT NULL CHECK (state IN ('ACTIVE', 'CLOSED')),
  -- muin.identity.v1.Branch in protobuf JSON: what its people say of it.
  content     jsonb NOT NULL,
  -- Of branch and staff together: aggregate_version of events, and the etag.
  version     bigint NOT NULL,
  create_time timestamptz NOT NULL,
  update_time timestamptz NOT NULL
);

CREATE INDEX branches_owner ON branches (owner_id, branch_id);
CREATE INDEX branches_place ON branches ((content -> 'address' ->> 'countryCode'), (content -> 'address' ->> 'locality'));
CREATE INDEX branches_facilities ON branches USING gin ((content -> 'facilities'));

CREATE TABLE staff (
  branch_id text COLLATE "C" NOT NULL REFERENCES branches,
  user_id   text COLLATE "C" NOT NULL REFERENCES people,
  role      text NOT NULL CHECK (role IN ('MANAGER', 'ATTENDANT')),
  PRIMARY KEY (branch_id, user_id)
);

CREATE INDEX staff_user ON staff (user_id, branch_id);

-- Creations by the request_id of their caller, so that a repeated one gets the first reply.
CREATE TABLE request_memory (
  principal   text NOT NULL,
  request_id  text NOT NULL,
  -- SHA-256 of what it asked for.
  fingerprint bytea NOT NULL,
  -- The reply in protobuf binary.
  response    bytea NOT NULL,
  expire_time timestamptz NOT NULL,
  PRIMARY KEY (principal, request_id)
);

CREATE INDEX request_memory_expiry ON request_memory (expire_time);
