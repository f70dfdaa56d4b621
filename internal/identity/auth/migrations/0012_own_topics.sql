-- What waits for the bus under the topics of earlier versions.
UPDATE platform.outbox SET topic = 'erasure.auth' WHERE type = 'muin.identity.v1.UserDataErased';
UPDATE platform.outbox SET topic = 'identity.enrolment' WHERE type = 'muin.face.v1.FaceEnrolmentRecorded';
