create function vsync_internal.document_reads(embedding name)
returns text[]
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    return (
        select case when count(*) > 0 then coalesce(array_agg(distinct n.name || case when n.columns ? 'content' then '.content' else '' end)
            filter (where n.columns <> '[]'), '{}') end
        from vsync_internal.rules as r cross join jsonb_each(r.columns) as n (name, columns)
        where r.embedding = document_reads.embedding and r.stage = 'document' and r.broken is null and vsync_internal.is_in_force(r));
end
$$;
comment on function vsync_internal.document_reads(name) is
'what the rules of stage document read: doc or doc.content, last or last.content …; null where there are no such rules';

create function vsync_internal.rule_parts(version vsync_internal.versions, reads text[])
returns text
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
    v_key text := format('(select %s from (select %s) as d)', vsync_internal.key_json(version.keys, 'd'), vsync_internal.key_list(version.keys, 'c.k%4$s as %1$I'));
begin
    return concat_ws(', ',
        case when reads is null then 'null::text' else 'jsonb_build_object(''verdict'', m.verdict, ''rule_id'', m.rule_id, ''also'', m.also, ''held_until'', m.held_until, '
            '''looking'', m.looking, ''forced'', m.verdict = ''refresh'' and vsync_internal.is_forced(m.mark), ''same'', r.hash = v.document_hash, ''moved'', p.moved)::text' end || ' as mark',
        case when reads && '{doc,doc.content}' then format('(coalesce(r.further, ''{}'') || %s%s)::text', v_key,
            case when 'doc.content' = any (reads) then ' || jsonb_build_object(''content'', r.content)' else '' end) else 'null::text' end || ' as doc',
        case when reads && '{last,last.content}' then format('case when v.document_hash is not null then (coalesce(v.attributes - ''content'', ''{}'') || %s '
            '|| jsonb_build_object(''embedded_at'', v.embedded_at, ''version'', %s)%s)::text end', v_key, version.version,
            case when 'last.content' = any (reads) then ' || jsonb_build_object(''content'', coalesce(v.attributes ->> ''content'', v.content))' else '' end)
            else 'null::text' end || ' as last');
end
$$;
comment on function vsync_internal.rule_parts(vsync_internal.versions, text[]) is
'SQL for render(): columns mark, doc and last as JSON text, from c (key), r (rendered), m (mark), v (the vectors'' first chunk) and p (policies)';

create function vsync_internal.is_forced(mark vsync_internal.marks)
returns boolean
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select exists (select from vsync_internal.rules as r where (r.id = mark.rule_id or r.id = any (mark.also)) and (r.params ->> 'force')::boolean)
$$;
comment on function vsync_internal.is_forced(vsync_internal.marks) is 'whether a rule that refreshes a document has it embedded even where its text is the same';

create function vsync_internal.rule_out(token bigint, decisions jsonb)
returns bigint
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_version vsync_internal.versions;
    v_keys text[];
    v_stands text[];
    v_generation bigint := nextval('vsync_internal.generation');
    v_count bigint;
begin
    select v.* into v_version from vsync_internal.leases as l join vsync_internal.versions as v on v.id = l.version_id where l.token = rule_out.token;
    if not found then
        return 0;
    end if;
    v_keys := array(select o.key from vsync_internal.owned(v_version.id, array(select d.key from jsonb_to_recordset(decisions) as d (key text)), token) as o);
    v_stands := array(select d.key from jsonb_to_recordset(decisions) as d (key text, verdict text) where d.verdict is null);
    if v_stands <> '{}' then
        perform vsync_internal.hold_back(token, v_version.id, v_stands);
    end if;
    perform vsync_internal.settle(token, v_version.id, array(
        select d.key from jsonb_to_recordset(decisions) as d (key text, verdict text) where d.verdict = 'settle'));
    with decided as materialized (
        select d.*, o.mark, m.generation = m.claimed as current, h.id as waiting
        from jsonb_to_recordset(decisions) as d (key text, verdict text, rule_id int, revision int, held_until timestamptz)
        join vsync_internal.owned(v_version.id, v_keys, token) as o using (key)
        cross join lateral (select w.* from vsync_internal.marks as w where w.ctid = o.mark offset 0) as m
        left join vsync_internal.holds as h on h.id = m.hold_id and h.rule_id = d.rule_id and h.state = 'waiting'
        where d.verdict <> 'settle'),
    held as (
        insert into vsync_internal.holds (embedding, version_id, rule_id, revision, documents, sample)
        select v_version.embedding, v_version.id, d.rule_id, d.revision, 1, array[d.key]
        from decided as d where d.verdict = 'hold' and d.current and d.waiting is null
        returning id, sample[1] as key)
    update vsync_internal.marks as m
    set token = null, claimed = null, attempts = 0, error = null, lane = 0, due_at = case when d.current then coalesce(d.held_until, 'infinity') end,
        -- what came meanwhile was weighed as if this claim had embedded what came before
        verdict = case when d.current then d.verdict when m.looking or m.verdict = 'hold' then m.verdict end,
        rule_id = case when d.current then d.rule_id else m.rule_id end,
        held_until = case when d.current then coalesce(d.held_until, 'infinity') else m.held_until end,
        decided = case when d.current then v_generation else m.decided end,
        -- of a change that waits no more nobody is asked again
        image = case when d.current and not m.looking then null else m.image end,
        hold_id = case when not d.current then m.hold_id when d.verdict = 'hold' then coalesce(h.id, d.waiting) end
    from decided as d left join held as h on h.key = d.key
    where m.ctid = any (array(select x.mark from decided as x)) and m.ctid = d.mark;
    get diagnostics v_count = row_count;
    return v_count;
end
$$;
comment on function vsync_internal.rule_out(bigint, jsonb) is
'ends the claim of keys that rules of stage document hold back, [{"key", "verdict", "rule_id", "revision", "held_until"}]; verdict null: as the mark says already;
settle: its text is embedded, and nothing asks for it anew';
