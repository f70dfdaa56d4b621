-- Requests whose enrolment was erased before their time was over: a repeat of one must not enrol the face anew. Nothing personal stands here.
CREATE TABLE erased_requests (
  -- SHA-256 of the caller and the request_id.
  request_hash bytea PRIMARY KEY,
  expire_time  timestamptz NOT NULL
);

CREATE INDEX erased_requests_expiry ON erased_requests (expire_time);
