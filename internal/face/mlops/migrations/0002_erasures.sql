-- The ledger of erasures: faces that are to be erased, and those that were. An entry is never removed: a face store that is started from an old file may hold
-- the face again. No vector stands here.
CREATE TABLE face_erasures (
  erasure_id   text COLLATE "C" PRIMARY KEY,
  enrolment_id text COLLATE "C" NOT NULL UNIQUE,
  -- Empty once they are deleted.
  member_id    text COLLATE "C" NOT NULL,
  model_id     text COLLATE "C" NOT NULL,
  branch_ids   text[] COLLATE "C" NOT NULL,
  -- Who asked; empty once that person is deleted.
  principal    text NOT NULL,
  -- aggregate_version of FaceVectorErased.
  version      bigint NOT NULL,
  create_time  timestamptz NOT NULL,
  -- Empty until it is signed.
  receipt      text NOT NULL DEFAULT '',
  -- When somebody is to work on it next: without a receipt on its steps, with one on taking it off the deny-lists. NULL: nothing is left to do.
  due_time     timestamptz,
  CHECK (receipt <> '' OR due_time IS NOT NULL)
);

CREATE INDEX face_erasures_member ON face_erasures (member_id, create_time);
CREATE INDEX face_erasures_due ON face_erasures (due_time) WHERE due_time IS NOT NULL;
CREATE INDEX face_erasures_denied ON face_erasures (erasure_id) WHERE due_time IS NOT NULL;
CREATE INDEX face_erasures_principal ON face_erasures (principal) WHERE principal <> '';

-- Steps of erasures that were taken.
CREATE TABLE face_erasure_steps (
  erasure_id text COLLATE "C" NOT NULL REFERENCES face_erasures,
  step       text NOT NULL CHECK (step IN ('RECORDED', 'DENIED', 'APPLIED', 'REMOVED', 'PROBED', 'PURGED', 'SETTLED', 'SIGNED')),
  time       timestamptz NOT NULL,
  -- How, in words; empty where there is nothing to say.
  detail     text NOT NULL DEFAULT '',
  -- The change by which doors learn of it; empty for none.
  change_id  text NOT NULL DEFAULT '',
  PRIMARY KEY (erasure_id, step)
);

-- Public keys of receipts: each that has ever signed one.
CREATE TABLE receipt_keys (
  key_id      text COLLATE "C" PRIMARY KEY,
  public_key  bytea NOT NULL,
  create_time timestamptz NOT NULL
);

-- People who are deleted, until UserDataErased is told: when the last of their faces has its receipt.
CREATE TABLE person_erasures (
  user_id           text COLLATE "C" PRIMARY KEY,
  -- That of the UserStatusChanged by which they were deleted.
  aggregate_version bigint NOT NULL,
  create_time       timestamptz NOT NULL
);
