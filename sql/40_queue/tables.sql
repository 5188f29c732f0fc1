create sequence vsync_internal.generation;
create sequence vsync_internal.token;

create table vsync_internal.marks (
    version_id int not null,
    key text collate "C" not null,
    generation bigint not null,
    since bigint not null,
    lane smallint not null default 0,
    due_at timestamptz,
    captured_at timestamptz not null,
    token bigint,
    claimed bigint,
    looking boolean not null default false,
    attempts int not null default 0,
    losses smallint not null default 0,
    error jsonb,
    failed_at timestamptz,
    priority float8 not null default 0,
    verdict text check (verdict in ('skip', 'defer', 'hold', 'rejected', 'exclude', 'refresh', 'approved')),
    rule_id int,
    hold_id bigint,
    held_until timestamptz,
    decided bigint,
    image text,
    also int[],
    strength smallint generated always as (case when verdict is null or verdict = 'approved' then 3
        when verdict = 'hold' then 4 when verdict = 'defer' then 2 when verdict = 'skip' and image is not null then 1 else 0 end) stored,
    primary key (version_id, key)
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
comment on table vsync_internal.marks is 'the queue: this key of this version may be stale. Only workers touch it';
comment on column vsync_internal.marks.generation is 'of the newest change; one number a fold, from one sequence';
comment on column vsync_internal.marks.since is 'of the oldest change that no render has seen';
comment on column vsync_internal.marks.lane is '0 fresh changes, 1 large changes, 2 backfill, 3 failures, which stand behind all else';
comment on column vsync_internal.marks.due_at is 'null: now; infinity: parked, or held back for good';
comment on column vsync_internal.marks.token is 'the claim that owns it; null: free';
comment on column vsync_internal.marks.claimed is 'generation at the time of the claim';
comment on column vsync_internal.marks.losses is 'claims with it that ended without a word: the worker died or hung. The more, the fewer keys it is claimed with';
comment on column vsync_internal.marks.looking is 'the claim only finds out whether the document is gone: a rule holds it back';
comment on column vsync_internal.marks.verdict is
'what a rule decided; null: as usual. skip, defer, hold: looked at once without the model, since the document may be gone, then held back';
comment on column vsync_internal.marks.rule_id is 'the rule that decided; where verdict is null, the one that had deferred the document until held_until';
comment on column vsync_internal.marks.held_until is 'until when the verdict holds the document back; due_at becomes that once it was looked at';
comment on column vsync_internal.marks.decided is 'generation at which rules were asked, of verdicts that were joined that of the oldest';
comment on column vsync_internal.marks.image is
'the change that was decided on, with op, at and documents: other rules may be asked about it later. Null: a rule of stage document decided.
{}: changes of several rows. plain: besides, something changed that nobody holds back';
comment on column vsync_internal.marks.also is 'rules with whose verdict that of rule_id was joined';
comment on column vsync_internal.marks.strength is 'which verdict stands when changes of one document meet';
-- token stays out of the indexes: claiming is then a heap-only update
create index marks_due on vsync_internal.marks (version_id, lane, priority desc, since) where due_at is null;
create index marks_held on vsync_internal.marks (hold_id) where hold_id is not null;
create index marks_ruled on vsync_internal.marks (version_id, key) where verdict in ('skip', 'defer', 'hold', 'exclude');
create index marks_waiting on vsync_internal.marks (version_id, due_at) where due_at is not null;
create index marks_postponed on vsync_internal.marks (due_at) where attempts = 0 and due_at < 'infinity' and due_at is distinct from held_until;

create table vsync_internal.leases (
    token bigint primary key,
    version_id int not null,
    keys text[] not null,
    "hashes" text[] not null default '{}',
    pid int not null default pg_backend_pid(),
    backend_start timestamptz not null,
    claimed_at timestamptz not null default clock_timestamp(),
    until timestamptz not null
);
comment on table vsync_internal.leases is 'one claim of one worker: its fencing token, its keys, and the texts it is about to embed';

create table vsync_internal.pages (
    id bigint generated always as identity primary key,
    version_id int not null,
    dependency int,
    generation bigint not null,
    captured_at timestamptz not null,
    keys text[],
    after_key text,
    lane smallint not null default 1,
    attempts int not null default 0,
    retry_at timestamptz,
    images text[],
    op "char",
    xid xid8,
    documents bigint,
    priority float8 not null default 0,
    verdict text,
    rule_id int,
    hold_id bigint,
    held_until timestamptz,
    decided bigint,
    image text
);
create index pages_next on vsync_internal.pages (lane, id) where images is null;
create index pages_undecided on vsync_internal.pages (lane, id) where images is not null;
comment on table vsync_internal.pages is 'what the fold leaves to be expanded into marks, a page at a time';
comment on column vsync_internal.pages.dependency is 'null: keys of documents; else tuples of that dependency, and the keys of documents are found along its path';
comment on column vsync_internal.pages.keys is 'null: every stored key (truncate)';
comment on column vsync_internal.pages.after_key is 'what is expanded already, in key order';
comment on column vsync_internal.pages.images is 'parallel to keys, as in log.images: rules have to be asked before the page is expanded';
comment on column vsync_internal.pages.xid is 'the transaction whose change it is, where rules are to be asked';
comment on column vsync_internal.pages.documents is 'how many documents the transaction''s change leads to, where that is known';
comment on column vsync_internal.pages.verdict is 'what a rule decided of the whole page: its marks inherit it, with rule, hold, held_until, decided, priority and image';
comment on column vsync_internal.pages.lane is '0 small changes, which go first, 1 large ones; their marks inherit it';

create type vsync_internal.decision as (verdict text, rule_id int, hold_id bigint, held_until timestamptz, decided bigint, priority float8, image text);
comment on type vsync_internal.decision is 'what a rule decided of one key';
