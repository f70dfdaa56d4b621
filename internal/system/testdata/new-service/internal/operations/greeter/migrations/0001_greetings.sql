CREATE TABLE greetings (
  guest TEXT PRIMARY KEY,
  times INTEGER NOT NULL
);
