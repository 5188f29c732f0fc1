create function vsync_internal.expected_documents(version vsync_internal.versions)
returns bigint
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_serving vsync_internal.versions := vsync_internal.serving_version(version.embedding);
    v_count bigint;
begin
    -- asking the document query would run its owner's code here: what is served tells how many rows it leaves out
    if v_serving.id <> version.id then
        execute format('select count(*) from vsync_data.%I as v where v.chunk = 0', v_serving.data) into v_count;
        if (select p.phase <> 'root' from vsync_internal.progress as p where p.version_id = v_serving.id) then
            return v_count;
        end if;
    end if;
    return (
        select greatest(v_count, sum(case when c.reltuples < 0 then pg_stat_get_live_tuples(c.oid) else c.reltuples end)::bigint)
        from vsync_internal.embeddings as e
        cross join lateral (select e.root::oid as oid union select vsync_internal.leaves(e.root)) as r
        join pg_class as c on c.oid = r.oid
        where e.name = version.embedding and c.relkind <> 'p');
exception when undefined_table then
    return null;
end
$$;
comment on function vsync_internal.expected_documents(vsync_internal.versions) is
'an estimate of the documents of a version whose backfill has not seen all: those of the version being served, and at least the rows of the root while that one starts over';

create function vsync_internal.stat_versions()
returns table (embedding name, version int, label text, state text, phase text, done bigint, total bigint, rate numeric, eta interval, index text, recall float8, recall_at timestamptz)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
    select v.embedding, v.version, v.label, v.state, h.phase,
        case h.phase when 'backfilling' then b.done when 'indexing' then coalesce(i.blocks_done, 0) end,
        case h.phase when 'backfilling' then b.total when 'indexing' then i.blocks_total end,
        r.rate,
        case when h.phase = 'backfilling' and r.rate > 0 then round((b.total - b.done) / r.rate) * interval '1 second' end,
        case when not vsync_internal.has_index(v) then 'none' else concat_ws(' ', v.index ->> 'type', nullif(v.index ->> 'quantize', 'none')) end, p.recall, p.recall_at
    from vsync_internal.versions as v
    join vsync_internal.progress as p on p.version_id = v.id
    cross join lateral (
        select count(*) as waiting from vsync_internal.marks as m where m.version_id = v.id and m.lane = 2 and m.attempts = 0) as q
    cross join lateral (
        select case when p.broken is not null then vsync_internal.shown_state(v) when v.paused then 'paused' when not v.following then v.state
            when p.phase <> 'done' and not vsync_internal.wal_ready(v.id) then 'waiting for the slot'
            when p.phase = 'root' or q.waiting > 0 then 'backfilling' when p.phase = 'vectors' then 'looking for orphans'
            when vsync_internal.wants_index(v) then 'indexing' else v.state end as phase) as h
    -- a cursor that starts over has counted nothing yet
    cross join lateral (select case when p.phase = 'root' and p.after_key is null then 0 else p.backfilled end as marked) as c
    cross join lateral (
        select greatest(0, c.marked - q.waiting) as done,
            case when p.phase <> 'root' then c.marked
                when h.phase = 'backfilling' then greatest(c.marked, vsync_internal.expected_documents(v)) end as total) as b
    -- young means are divided by the weight that they have gathered
    cross join lateral (
        select round((vsync_internal.rate(p.rate, p.rate_at, 0, clock_timestamp())
            / (1 - exp(-greatest(1, extract(epoch from clock_timestamp() - p.backfill_started_at)) / 20)))::numeric, 1) as rate) as r
    left join pg_stat_progress_create_index as i on i.relid = to_regclass(format('vsync_data.%I', v.data))
    where v.state <> 'dropped'
    order by v.embedding, v.version
$$;
comment on function vsync_internal.stat_versions() is 'the rows of vsync.stat_versions';

create view vsync.stat_versions with (security_invoker = true) as
select * from vsync_internal.stat_versions();
comment on view vsync.stat_versions is
'How far each live version is, one row a version. phase: backfilling, looking for orphans, indexing, then the state (building, ready, active, retired);
or paused, broken, released, waiting for the slot. done, total: documents while backfilling (total is an estimate until all were seen), blocks while
indexing, else null; rate: documents finished a second, lately; eta: the time the backfill will take from here at that rate;
index: what it is searched with, recall: what vsync.estimate_recall() last found of it.
Example: select embedding, version, phase, done, total, rate, eta from vsync.stat_versions';
