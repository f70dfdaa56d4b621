// @generated from the comments in proto/muin
/* eslint-disable */

/** What the protos of this package say of services, RPCs, messages, fields, enums and their values, by full name. */
export const comments: Readonly<Record<string, string>> = {
  "muin.face.v1.Consent": "A person's consent to the use of their face.",
  "muin.face.v1.Consent.text_version": "Version of the text that the person agreed to.",
  "muin.face.v1.Consent.time": "When they agreed.",
  "muin.face.v1.FaceEnrolmentRecorded": "Auth has recorded who is enrolled, with which model and which consent, or that they are no more.",
  "muin.face.v1.FaceEnrolmentRecorded.aggregate_version": "That of the FaceVectorCreated or FaceVectorErased that was recorded.",
  "muin.face.v1.FaceEnrolmentRecorded.consent": "The person's consent.",
  "muin.face.v1.FaceEnrolmentRecorded.enrolment_id": "The enrolment.",
  "muin.face.v1.FaceEnrolmentRecorded.erased": "True when the face was erased.",
  "muin.face.v1.FaceEnrolmentRecorded.member_id": "The person.",
  "muin.face.v1.FaceEnrolmentRecorded.model_id": "Model that made the vector.",
  "muin.face.v1.FaceEnrolmentRecorded.time": "When it was recorded.",
  "muin.face.v1.FaceVectorCreated": "A face was enrolled or replaced. Carries no vector.",
  "muin.face.v1.FaceVectorCreated.aggregate_version": "Grows by one with every change of the enrolment; FaceVectorErased goes on with it.",
  "muin.face.v1.FaceVectorCreated.branch_ids": "Branches whose doors it opens.",
  "muin.face.v1.FaceVectorCreated.consent": "The person's consent.",
  "muin.face.v1.FaceVectorCreated.enrolment_id": "The enrolment.",
  "muin.face.v1.FaceVectorCreated.member_id": "The person whose face it is.",
  "muin.face.v1.FaceVectorCreated.model_id": "Model that made the vector.",
  "muin.face.v1.FaceVectorCreated.time": "When it happened.",
  "muin.face.v1.FaceVectorErased": "A face was erased.",
  "muin.face.v1.FaceVectorErased.aggregate_version": "As in FaceVectorCreated.",
  "muin.face.v1.FaceVectorErased.enrolment_id": "The enrolment.",
  "muin.face.v1.FaceVectorErased.member_id": "The person whose face it was.",
  "muin.face.v1.FaceVectorErased.time": "When it happened."
};
