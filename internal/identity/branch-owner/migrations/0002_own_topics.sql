-- What waits for the bus under the topic of earlier versions.
UPDATE platform.outbox SET topic = 'erasure.branch-owner' WHERE type = 'muin.identity.v1.UserDataErased';
