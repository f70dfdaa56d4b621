-- Events recorded in the transaction of their change and not yet on the bus. A relay publishes them and then deletes them.
create table platform.outbox (
  -- Taken while the writer holds its aggregate's row lock: within a subject it grows in the order of the commits.
  sequence bigint generated always as identity primary key,
  event_id text not null,
  source text not null,
  type text not null,
  subject text not null,
  topic text not null,
  time_ms bigint not null,
  traceparent text not null,
  data bytea not null
);

create function platform.notify_outbox() returns trigger language plpgsql as $$
begin
  perform pg_notify('muin_outbox', '');
  return null;
end
$$;

-- Wakes the relay; sent with the commit, once however many rows there are.
create trigger outbox_notify after insert on platform.outbox
  for each statement execute function platform.notify_outbox();

-- Events whose effect has happened, written in the transaction of the effect.
create table platform.inbox (
  consumer text not null,
  generation bigint not null,
  event_id text not null,
  handled_at timestamptz not null default now(),
  primary key (consumer, generation, event_id)
);

create index inbox_handled_at on platform.inbox (handled_at);
