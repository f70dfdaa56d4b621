/**
 * Settings of whoever writes in a run: its one caller writes more within the ten minutes that a request id is remembered than one of
 * many callers may.
 */
export const roomForRequestIds = {
  MUIN_COUNT_WRITE_REQUEST_IDS_MAX: "100000000",
  MUIN_COUNT_WRITE_REQUEST_IDS_PER_CALLER_PERCENT: "100",
};
