create function vsync_internal.running_experiment(embedding name)
returns vsync_internal.experiments
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$ select e.* from vsync_internal.experiments as e where e.embedding = running_experiment.embedding and e.ended_at is null $$;
comment on function vsync_internal.running_experiment(name) is 'the experiment of an embedding, null where none runs';

create function vsync_internal.draw(caller text, experiment_id bigint)
returns float8
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$ select (hashtextextended(caller, experiment_id) & 9007199254740991) / 9007199254740992.0::float8 $$;
comment on function vsync_internal.draw(text, bigint) is
'a number from 0 to below 1, always the same for a caller in an experiment: who is drawn for a small share is drawn for a greater one too';

create function vsync_internal.is_fit(version vsync_internal.versions, progress vsync_internal.progress)
returns boolean
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$ select version.state in ('ready', 'retired') and version.following and not version.paused and progress.broken is null $$;
comment on function vsync_internal.is_fit(vsync_internal.versions, vsync_internal.progress) is
'whether a challenger may answer: whole, and every change reaches it';

create function vsync_internal.challenger(embedding name, caller text)
returns vsync_internal.versions
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
    select v.* from vsync_internal.experiments as e
    join vsync_internal.versions as v on v.embedding = e.embedding and v.version = e.challenger
    join vsync_internal.progress as p on p.version_id = v.id
    where e.embedding = challenger.embedding and e.ended_at is null and vsync_internal.is_fit(v, p) and vsync_internal.draw(challenger.caller, e.id) < e.share
$$;
comment on function vsync_internal.challenger(name, text) is 'the challenger that answers a caller, null where none does';

create function vsync_internal.answering_version(embedding name, caller text)
returns vsync_internal.versions
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
    v_version vsync_internal.versions;
    v_embedding vsync_internal.embeddings;
begin
    if caller is not null then
        v_version := vsync_internal.challenger(embedding, caller);
    end if;
    if v_version.id is not null then
        begin
            -- gone under an older snapshot, or else its drop waits for this transaction
            execute format('select from vsync_data.%I limit 0', v_version.data);
            return v_version;
        exception when undefined_table then
            null;
        end;
    end if;
    v_version := vsync_internal.serving_version(embedding);
    if v_version.id is null then
        v_embedding := vsync_internal.find_embedding(embedding);
    end if;
    perform vsync_internal.check_served(v_version.id);
    return v_version;
end
$$;
comment on function vsync_internal.answering_version(name, text) is
'the version that answers a caller under the statement''s snapshot: the challenger where the caller is drawn and it is fit, else the one being served';

create function vsync.start_experiment(embedding name, version int, share float8 default 0.1, force boolean default false)
returns bigint
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    perform vsync_internal.require_owner(e.owner, format('experiment with "%s"', e.name)) from vsync.embeddings as e where e.name = start_experiment.embedding;
    return vsync_internal.start_experiment(embedding, version, share, force);
end
$$;
comment on function vsync.start_experiment(name, int, float8, boolean) is
'Has a version answer a share of the callers of vsync.search(), which then needs their key in its argument caller; a caller always gets the same
version, also when the share grows. Called again for the same version it changes the share. Refused as activate_version is. Returns the experiment.
Example: select vsync.start_experiment(''product_search'', 2, 0.1)';

create function vsync_internal.start_experiment(embedding name, version int, share float8, force boolean)
returns bigint
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    v_embedding vsync_internal.embeddings := vsync_internal.find_embedding(start_experiment.embedding);
    v_running vsync_internal.experiments;
    v_champion vsync_internal.versions;
    v_challenger vsync_internal.versions;
    v_figures jsonb;
    v_id bigint;
begin
    perform vsync_internal.require_owner(v_embedding.owner, format('experiment with "%s"', v_embedding.name));
    perform vsync_internal.lock_row('embedding', start_experiment.embedding);
    v_running := vsync_internal.running_experiment(v_embedding.name);
    v_champion := vsync_internal.serving_version(v_embedding.name);
    v_challenger := vsync_internal.find_version(start_experiment.embedding, start_experiment.version);
    if start_experiment.share is null or start_experiment.share not between 0 and 1 then
        raise exception using
            errcode = 'VS001',
            message = 'share is out of range',
            detail = format('share is %s', coalesce(start_experiment.share::text, 'null')),
            hint = 'Give a share of the callers from 0 to 1, for example 0.1.';
    end if;
    if v_challenger.id = v_champion.id then
        raise exception using
            errcode = 'VS406',
            message = format('version %s of "%s" is being served', v_challenger.version, v_embedding.name),
            detail = 'The active version is the champion, and answers whom the challenger does not.',
            hint = format('select version, label, state from vsync.versions where embedding = %L', v_embedding.name);
    end if;
    if v_running.challenger <> v_challenger.version then
        raise exception using
            errcode = 'VS406',
            message = format('version %s of "%s" is being tried already', v_running.challenger, v_embedding.name),
            detail = format('Experiment %s runs since %s.', v_running.id, v_running.started_at),
            hint = format('select vsync.stop_experiment(%L)', v_embedding.name);
    end if;
    if v_running.id is not null then
        update vsync_internal.experiments as e set share = start_experiment.share where e.id = v_running.id;
        return v_running.id;
    end if;
    v_figures := vsync_internal.check_gate(v_embedding, v_challenger, not coalesce(force, false));
    if v_figures ->> 'refused' <> '' and not coalesce(force, false) then
        raise exception using
            errcode = 'VS402',
            message = format('version %s of "%s" is not fit to be served', v_challenger.version, v_embedding.name),
            detail = v_figures ->> 'refused',
            hint = format('call vsync.work(); or select vsync.start_experiment(%L, %s, %s, force => true)',
                v_embedding.name, v_challenger.version, start_experiment.share);
    end if;
    -- forced past the gate: it answers once it has caught up
    perform vsync_internal.follow_again(v_challenger);
    perform vsync_internal.make_counter(v_champion), vsync_internal.make_counter(v_challenger);
    insert into vsync_internal.experiments (embedding, champion, challenger, share)
    values (v_embedding.name, v_champion.version, v_challenger.version, start_experiment.share) returning id into v_id;
    return v_id;
end
$$;
comment on function vsync_internal.start_experiment(name, int, float8, boolean) is 'the gate, then a challenger; or another share';
