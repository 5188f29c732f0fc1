-- A condition that asks the time, or another table, ends without a change that would mark the document. It is shown again at once; what
-- became of its text while it was hidden is embedded when a worker has looked.
create function vsync_internal.hidden_keys(max_keys int default 1000)
returns table (version_id int, keys text[])
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_after text;
    v_rules int[];
begin
    for version_id, v_after, v_rules in
        select p.version_id, p.hidden_after, d.rules
        from vsync_internal.progress as p
        join vsync_internal.versions as v on v.id = p.version_id and v.state <> 'dropped' and v.following and not v.paused
        cross join lateral (
            select array_agg(r.id) as rules from vsync_internal.rules as r
            where r.embedding = v.embedding and r.action = 'exclude' and r.drifts and r.broken is null and vsync_internal.is_in_force(r)) as d
        where d.rules is not null and (p.hidden_after is not null or p.hidden_at is null or p.hidden_at <= now() - interval '1 minute')
        order by p.version_id for update of p skip locked
    loop
        keys := array(
            select m.key from vsync_internal.marks as m
            where m.version_id = hidden_keys.version_id and m.verdict = 'exclude' and m.token is null and m.rule_id = any (v_rules)
                and (v_after is null or m.key > v_after)
            order by m.key limit max_keys);
        -- marks are locked before progress everywhere: what comes of these keys is written in another transaction
        update vsync_internal.progress as p
        set hidden_after = keys[max_keys], hidden_at = case when v_after is null then clock_timestamp() else p.hidden_at end
        where p.version_id = hidden_keys.version_id;
        if keys <> '{}' then
            return next;
        end if;
    end loop;
end
$$;
comment on function vsync_internal.hidden_keys(int) is
'pages of documents that wait while a rule hides them whose answer may change by itself, a row a version; each is looked at about once a minute';

create function vsync_internal.show_again(version_id int, keys text[])
returns bigint
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_marks tid[] := array(select w.ctid from vsync_internal.marks as w
        where w.version_id = show_again.version_id and w.key = any (show_again.keys) and w.verdict = 'exclude' and w.token is null order by w.key for update);
    v_count bigint;
begin
    update vsync_internal.marks as m
    set verdict = null, rule_id = null, held_until = null, decided = null, also = null, due_at = null
    where m.ctid = any (v_marks);
    get diagnostics v_count = row_count;
    return v_count;
end
$$;
comment on function vsync_internal.show_again(int, text[]) is 'frees documents that waited while a rule hid them; returns how many';
