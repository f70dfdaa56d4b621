-- Of faces stands here who is enrolled where, by which model and with which consent. No vector: those are in the face Redis alone.

-- People as far as enrolments need them. A row stays when its person is deleted, with nothing but the id: whatever comes late about
-- them changes nothing.
CREATE TABLE people (
  user_id        text COLLATE "C" PRIMARY KEY,
  status         text NOT NULL CHECK (status IN ('ACTIVE', 'SUSPENDED', 'DELETED')),
  -- Of the last UserStatusChanged; 0 before the first.
  status_epoch   bigint NOT NULL DEFAULT 0,
  status_version bigint NOT NULL DEFAULT 0
);

-- Branches as far as rights need them.
CREATE TABLE branches (
  branch_id text COLLATE "C" PRIMARY KEY,
  owner_id  text COLLATE "C" NOT NULL,
  -- Staff who manage it.
  managers  text[] COLLATE "C" NOT NULL,
  epoch     bigint NOT NULL,
  version   bigint NOT NULL
);

CREATE INDEX branches_owner ON branches (owner_id, branch_id);
CREATE INDEX branches_managers ON branches USING gin (managers);

CREATE TABLE models (
  model_id                   text COLLATE "C" PRIMARY KEY,
  display_name               text NOT NULL,
  dimensions                 int NOT NULL,
  -- Little-endian float32; empty for none.
  mean                       bytea NOT NULL,
  threshold                  double precision NOT NULL,
  margin                     double precision NOT NULL,
  duplicate_threshold        double precision NOT NULL,
  target_false_positive_rate double precision NOT NULL,
  -- Grows by one with every calibration.
  revision                   bigint NOT NULL,
  -- The revision that the face Redis is known to have.
  told_revision              bigint NOT NULL DEFAULT 0,
  create_time                timestamptz NOT NULL
);

CREATE INDEX models_untold ON models (model_id) WHERE told_revision < revision;

-- The faces of a branch by one model.
CREATE TABLE galleries (
  branch_id   text COLLATE "C" NOT NULL,
  model_id    text COLLATE "C" NOT NULL REFERENCES models,
  generation  int NOT NULL,
  -- Secret that its templates are turned by.
  key_id      text NOT NULL,
  state       text NOT NULL CHECK (state IN ('STANDBY', 'ACTIVE', 'FORMER')),
  update_time timestamptz NOT NULL,
  PRIMARY KEY (branch_id, model_id)
);

CREATE UNIQUE INDEX galleries_active ON galleries (branch_id) WHERE state = 'ACTIVE';
CREATE UNIQUE INDEX galleries_former ON galleries (branch_id) WHERE state = 'FORMER';

-- What doors are told of a branch's galleries: which is active.
CREATE TABLE active_galleries (
  branch_id     text COLLATE "C" PRIMARY KEY,
  -- Grows by one with every change of what doors decide by.
  revision      bigint NOT NULL,
  -- The revision that the face Redis is known to have.
  told_revision bigint NOT NULL DEFAULT 0
);

CREATE INDEX active_galleries_untold ON active_galleries (branch_id) WHERE told_revision < revision;

CREATE TABLE enrolments (
  enrolment_id         text COLLATE "C" PRIMARY KEY,
  member_id            text COLLATE "C" NOT NULL,
  model_id             text COLLATE "C" NOT NULL REFERENCES models,
  -- In their order.
  branch_ids           text[] COLLATE "C" NOT NULL,
  -- PENDING: its faces are being written for the first time, and nobody knows of it.
  state                text NOT NULL CHECK (state IN ('PENDING', 'ACTIVE')),
  -- Faces that it has in each of its galleries.
  face_count           int NOT NULL,
  consent_text_version text NOT NULL,
  consent_time         timestamptz NOT NULL,
  consent_recorder     text NOT NULL,
  -- aggregate_version of its events.
  version              bigint NOT NULL,
  create_time          timestamptz NOT NULL,
  update_time          timestamptz NOT NULL
);

CREATE UNIQUE INDEX enrolments_member ON enrolments (member_id, model_id);
CREATE INDEX enrolments_branches ON enrolments USING gin (branch_ids);

-- Writes to the face Redis that are under way: recorded before, removed in the transaction that makes them known. One of them
-- may stand here only while its process holds the locks of its galleries; one that stands without was left half done.
CREATE TABLE face_changes (
  change_id    text COLLATE "C" PRIMARY KEY,
  -- One at a time.
  enrolment_id text COLLATE "C" NOT NULL UNIQUE REFERENCES enrolments,
  model_id     text COLLATE "C" NOT NULL,
  branch_ids   text[] COLLATE "C" NOT NULL,
  -- Faces of the enrolment once it is done.
  face_count   int NOT NULL,
  -- SHA-256 of the templates that its first gallery then has: tells whether it was done.
  digest       bytea NOT NULL,
  -- Who asked, and by which idempotency key (empty for none).
  principal    text NOT NULL,
  request_id   text NOT NULL,
  fingerprint  bytea NOT NULL,
  -- Whether it was done although the face is another person's.
  overrides    boolean NOT NULL,
  start_time   timestamptz NOT NULL
);

CREATE INDEX face_changes_galleries ON face_changes USING gin (branch_ids);

-- Faces that were enrolled although they are another person's: who asked for it, and when.
CREATE TABLE duplicate_overrides (
  change_id    text COLLATE "C" PRIMARY KEY,
  enrolment_id text COLLATE "C" NOT NULL,
  principal    text NOT NULL,
  time         timestamptz NOT NULL
);

CREATE INDEX duplicate_overrides_enrolment ON duplicate_overrides (enrolment_id);

-- Requests by the request_id of their caller, so that a repeated one gets the first reply.
CREATE TABLE request_memory (
  principal    text NOT NULL,
  request_id   text NOT NULL,
  -- SHA-256 of what it asked for.
  fingerprint  bytea NOT NULL,
  -- The enrolment that it is about, whose reply this is.
  enrolment_id text COLLATE "C" NOT NULL,
  -- The reply in protobuf binary.
  response     bytea NOT NULL,
  expire_time  timestamptz NOT NULL,
  PRIMARY KEY (principal, request_id)
);

CREATE INDEX request_memory_enrolment ON request_memory (enrolment_id);
CREATE INDEX request_memory_expiry ON request_memory (expire_time);
