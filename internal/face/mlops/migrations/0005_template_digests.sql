-- What the face store has of each enrolment in each generation of its galleries: tells when a store that was started from an older file has faces that were
-- replaced since. Written in the transaction that makes the faces known. An enrolment that was written before this table was there has no row until its faces are
-- written again.
CREATE TABLE template_digests (
  branch_id    text COLLATE "C" NOT NULL,
  model_id     text COLLATE "C" NOT NULL,
  generation   int NOT NULL,
  enrolment_id text COLLATE "C" NOT NULL REFERENCES enrolments ON DELETE CASCADE,
  -- SHA-256 of the templates, in their order. Nobody gets back from it to a face.
  digest       bytea NOT NULL,
  PRIMARY KEY (branch_id, model_id, generation, enrolment_id)
);

CREATE INDEX template_digests_enrolment ON template_digests (enrolment_id);
