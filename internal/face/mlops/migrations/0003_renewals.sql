-- Renewals of a gallery's templates that are under way: the generation that is renewed, and since when. Faces that were written since are turned once more in the end.
CREATE TABLE renewals (
  branch_id  text COLLATE "C" NOT NULL,
  model_id   text COLLATE "C" NOT NULL,
  generation int NOT NULL,
  start_time timestamptz NOT NULL,
  PRIMARY KEY (branch_id, model_id),
  FOREIGN KEY (branch_id, model_id) REFERENCES galleries
);
