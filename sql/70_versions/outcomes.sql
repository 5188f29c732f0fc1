create function vsync_internal.end_experiment(embedding name)
returns int
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    v_running vsync_internal.experiments := vsync_internal.running_experiment(embedding);
begin
    update vsync_internal.experiments as e
    set ended_at = clock_timestamp(), ended_by = session_user, results = (
        select jsonb_object_agg(v.version, jsonb_build_object('calls', c.calls, 'milliseconds', c.milliseconds))
        from vsync_internal.versions as v, vsync_internal.counted(v) as c
        where v.embedding = e.embedding and v.version in (e.champion, e.challenger))
    where e.id = v_running.id;
    return v_running.challenger;
end
$$;
comment on function vsync_internal.end_experiment(name) is 'ends the experiment of an embedding and writes down what was counted; returns the challenger';

create function vsync_internal.stop_experiment(embedding name)
returns int
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_embedding vsync_internal.embeddings := vsync_internal.find_embedding(embedding);
begin
    perform vsync_internal.require_owner(v_embedding.owner, format('experiment with "%s"', v_embedding.name));
    perform vsync_internal.lock_row('embedding', embedding);
    return vsync_internal.end_experiment(v_embedding.name);
end
$$;
comment on function vsync_internal.stop_experiment(name) is 'ends an experiment where its owner asks';

create function vsync.stop_experiment(embedding name)
returns int
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    perform vsync_internal.require_owner(e.owner, format('experiment with "%s"', e.name)) from vsync.embeddings as e where e.name = stop_experiment.embedding;
    return vsync_internal.stop_experiment(embedding);
end
$$;
comment on function vsync.stop_experiment(name) is
'Ends the experiment: from the next statement on the active version answers all. Activating or dropping a version of the embedding that takes part
ends it too. Returns the challenger, null where no experiment ran. Example: select vsync.stop_experiment(''product_search'')';

create function vsync_internal.report_outcome(embedding name, version int, outcome text)
returns boolean
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    v_running vsync_internal.experiments;
begin
    perform vsync_internal.require_primary();
    perform vsync_internal.find_embedding(report_outcome.embedding);
    if report_outcome.outcome is null or length(report_outcome.outcome) not between 1 and 63 then
        raise exception using
            errcode = 'VS001',
            message = 'this is no outcome',
            detail = format('outcome is %L', left(report_outcome.outcome, 100)),
            hint = 'Name what happened in 1 to 63 characters, for example ''click''.';
    end if;
    v_running := vsync_internal.running_experiment(report_outcome.embedding);
    if v_running.id is null or report_outcome.version is null or report_outcome.version not in (v_running.champion, v_running.challenger) then
        return false;
    end if;
    insert into vsync_internal.outcomes (experiment_id, version, outcome) values (v_running.id, report_outcome.version, report_outcome.outcome);
    return true;
end
$$;
comment on function vsync_internal.report_outcome(name, int, text) is 'counts an outcome while an experiment runs';

create function vsync.report_outcome(embedding name, version int, outcome text default 'success')
returns boolean
language sql
set search_path = pg_catalog, pg_temp
as $$ select vsync_internal.report_outcome(embedding, version, outcome) $$;
comment on function vsync.report_outcome(name, int, text) is
'Counts what came of an answer, a click or an order, for the version that vsync.search() said gave it. Returns whether it was counted: false where
no experiment runs in which that version takes part. Example: select vsync.report_outcome(''product_search'', 2, ''click'')';

create function vsync_internal.stat_experiments()
returns table (embedding name, experiment bigint, version int, label text, role text, share float8, state text, started_at timestamptz,
    ended_at timestamptz, calls bigint, mean_ms numeric, outcomes jsonb)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
    select e.embedding, e.id, v.version, v.label, s.role, case s.role when 'champion' then 1 - e.share else e.share end,
        case when e.ended_at is not null then 'ended' when x.fit then 'running' else 'suspended' end, e.started_at, e.ended_at,
        c.calls, round(c.milliseconds / nullif(c.calls, 0)::numeric, 1),
        coalesce((select jsonb_object_agg(o.outcome, o.count) from (
            select r.outcome, count(*) from vsync_internal.outcomes as r where r.experiment_id = e.id and r.version = v.version group by 1) as o), '{}')
    from vsync_internal.experiments as e
    cross join lateral (values ('champion', e.champion), ('challenger', e.challenger)) as s (role, version)
    join vsync_internal.versions as v on v.embedding = e.embedding and v.version = s.version
    cross join lateral (
        select exists (select from vsync_internal.versions as w join vsync_internal.progress as p on p.version_id = w.id
            where w.embedding = e.embedding and w.version = e.challenger and vsync_internal.is_fit(w, p)) as fit) as x
    cross join lateral (
        select n.calls, n.milliseconds from vsync_internal.counted(v) as n where e.ended_at is null
        union all
        select r.calls, r.milliseconds from jsonb_to_record(e.results -> v.version::text) as r (calls bigint, milliseconds bigint)
        where e.ended_at is not null) as c
    order by e.embedding, e.id, s.role
$$;
comment on function vsync_internal.stat_experiments() is 'the rows of vsync.stat_experiments';

create view vsync.stat_experiments with (security_invoker = true) as
select * from vsync_internal.stat_experiments();
comment on view vsync.stat_experiments is
'Experiments that run or ran, a row for the champion and one for the challenger. state: running, suspended (the challenger is paused, broken or
does not follow, so the champion answers all), ended; share: of the callers; calls: answered to named callers, as this server''s statistics count them (lost
in a crash); mean_ms: what they took; outcomes: reported, by name. Example: select version, role, calls, mean_ms, outcomes from vsync.stat_experiments';
