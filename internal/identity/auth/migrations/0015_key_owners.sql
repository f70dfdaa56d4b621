-- A key belongs to who made it; one that a key made, to that key's owner. Who made the keys of before stands in the audit log; where nobody
-- does, they are the first administrator's.
ALTER TABLE api_keys ADD COLUMN owner_id uuid REFERENCES accounts ON DELETE CASCADE;
WITH RECURSIVE made AS (
  SELECT api_key_id, principal FROM api_keys JOIN audit_log ON action = 'CREATE_API_KEY' AND subject = 'api_key:' || api_key_id
), owned (api_key_id, owner_id) AS (
  SELECT api_key_id, user_id FROM made JOIN accounts ON principal = 'person:' || user_id
  UNION
  SELECT made.api_key_id, owner_id FROM made JOIN owned ON principal = 'api_key:' || owned.api_key_id
)
UPDATE api_keys SET owner_id = owned.owner_id FROM owned WHERE owned.api_key_id = api_keys.api_key_id;
UPDATE api_keys SET owner_id = (
  SELECT user_id FROM accounts JOIN role_assignments USING (user_id) WHERE role = 'administrator' AND branch_id = ''
  ORDER BY accounts.create_time, user_id LIMIT 1
) WHERE owner_id IS NULL;
-- Where there is no administrator, nobody holds what they hold. Whoever has confirmed one takes it for a minute at the longest.
DELETE FROM api_keys WHERE owner_id IS NULL;
ALTER TABLE api_keys ALTER COLUMN owner_id SET NOT NULL;
CREATE INDEX api_keys_owner_id ON api_keys (owner_id, api_key_id);
