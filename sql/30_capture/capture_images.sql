-- Where rules read a relation's rows, their old and new values go into the log beside the keys. Rows are paired by primary key then, in
-- statements of every size: the writer pays for the comparison, and for the values.
create function vsync_internal.asks(rule vsync_internal.rules, relation regclass, root regclass)
returns boolean
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$
    select rule.stage = 'change' and case when rule.relation is not null then rule.relation = asks.relation else asks.relation = asks.root
        or not rule.params ? 'relation' and rule.columns -> 'old' = '[]' and rule.columns -> 'new' = '[]' end
$$;
comment on function vsync_internal.asks(vsync_internal.rules, regclass, regclass) is
'whether a rule is asked of changes of a relation: its own, else the root; of every one where it neither names one nor reads a row';

create function vsync_internal.rule_columns(feed vsync_internal.feeds, out columns name[], out images name[])
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    -- a column that is gone breaks the rule, not the writer
    select array_agg(distinct a.attname order by a.attname), array_agg(distinct a.attname order by a.attname) filter (where u.stage = 'change')
    from (
        select r.stage, c.name
        from vsync_internal.dependencies as d
        join vsync_internal.versions as v on v.id = d.version_id
        join vsync_internal.progress as p on p.version_id = v.id and p.broken is null
        join vsync_internal.embeddings as e on e.name = v.embedding
        join vsync_internal.rules as r on r.embedding = e.name and r.enabled
            -- what a rule of stage document reads is only watched: its row is read when it is asked
            and (vsync_internal.asks(r, d.relation, e.root) or r.stage = 'document' and d.number = 0),
            lateral (select jsonb_array_elements_text(r.columns -> 'new') union select jsonb_array_elements_text(r.columns -> 'old')
                -- a rule that reads no column is asked all the same
                union select k.attname from pg_index as i join pg_attribute as k on k.attrelid = i.indrelid and k.attnum = i.indkey[0]
                where i.indrelid = feed.relation and i.indisprimary and r.stage = 'change') as c (name)
        where d.feed_id = feed.id) as u
    join pg_attribute as a on a.attrelid = feed.relation and a.attname = u.name and a.attnum > 0 and not a.attisdropped
$$;
comment on function vsync_internal.rule_columns(vsync_internal.feeds) is
'columns that rules on a feed''s relation read; images: whose values they are asked with. Null where there are none';

create function vsync_internal.wanted_columns(feed vsync_internal.feeds, out columns name[], out images name[])
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select array(select c from vsync_internal.dependencies as d, unnest(d.columns) as c
            where d.feed_id = feed.id and exists (select from vsync_internal.progress as p where p.version_id = d.version_id and p.broken is null)
            -- of a document that cannot be read deletes alone are followed
            union select k ->> 'column' from jsonb_array_elements(feed.keys) as k where exists (
                select from vsync_internal.dependencies as d join vsync_internal.progress as p on p.version_id = d.version_id
                where d.feed_id = feed.id and p.broken is not null)
            -- they decide who may see the text, whether or not it shows them
            union select a.attname from pg_attribute as a
            where a.attrelid = feed.relation and a.attnum = any (vsync_internal.policy_columns(feed.relation)) and exists (
                select from vsync_internal.dependencies as d join vsync_internal.progress as p on p.version_id = d.version_id and p.broken is null
                where d.feed_id = feed.id and d.number = 0)
            union select c from unnest(r.columns) as c order by 1), coalesce(r.images, '{}')
    from vsync_internal.rule_columns(feed) as r
$$;
comment on function vsync_internal.wanted_columns(vsync_internal.feeds) is
'columns that a feed has to watch, for the documents and the rules that depend on it, and those whose values go along';

create function vsync_internal.image_absent(feed vsync_internal.feeds, alias text)
returns text
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select coalesce(format('(%s.%I is null)', alias, vsync_internal.primary_key(feed.relation) -> 0 ->> 'column'), format('(%s is null)', alias))
$$;
comment on function vsync_internal.image_absent(vsync_internal.feeds, text) is 'SQL: whether a row of an outer join is none';

create function vsync_internal.image_json(feed vsync_internal.feeds, alias text)
returns text
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    -- a type from outside pg_catalog goes through its output function: a cast to json may be anybody's
    select format('case when not %s then (select row_to_json(r) from (select %s) as r) end', vsync_internal.image_absent(feed, alias),
        string_agg(format(case when t.typnamespace = 'pg_catalog'::regnamespace then '%1$s.%2$I'
            else 'case when %1$s.%2$I is distinct from null then format(''%%s'', %1$s.%2$I) end as %2$I' end, alias, a.attname), ', ' order by a.attnum))
    from pg_attribute as a join pg_type as t on t.oid = a.atttypid
    where a.attrelid = feed.relation and a.attname = any (feed.images) and not a.attisdropped
$$;
comment on function vsync_internal.image_json(vsync_internal.feeds, text) is 'SQL: the image columns of a row as JSON, null where there is no such row';

create function vsync_internal.image_body(feed vsync_internal.feeds, place int, pairs text, op text)
returns text
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    -- %1 feed, %2 its place, %3 tuple of a new row n, %4 of an old row o, %5 new row as JSON, %6 old one, %7 no new row, %8 no old one,
    -- %9 whether o and n are one row, %10 whether they differ
    select format(case op when 'INSERT' then $insert$
        insert into vsync_internal.log (slot, feed_id, op, keys, images)
        select v_slot, %1$s, v_op, array_agg(r.key), array_agg(r.image)
        from (select %3$s as key, json_build_object('old', null, 'new', %5$s)::text as image, row_number() over () / 1000 as page
            from new_rows as n) as r where r.key is not null group by r.page;$insert$
    when 'DELETE' then $delete$
        insert into vsync_internal.log (slot, feed_id, op, keys, images)
        select v_slot, %1$s, v_op, array_agg(r.key), array_agg(r.image)
        from (select %4$s as key, json_build_object('old', %6$s, 'new', null)::text as image, row_number() over () / 1000 as page
            from old_rows as o) as r where r.key is not null group by r.page;$delete$
    else $update$
        if v_several or v_one.changed_%2$s then
            insert into vsync_internal.log (slot, feed_id, op, keys, images)
            select v_slot, %1$s, v_op, array_agg(r.key), array_agg(r.image)
            from (select t.key, json_build_object('old', %6$s, 'new', %5$s)::text as image, row_number() over () / 1000 as page
                from old_rows as o full join new_rows as n on %9$s
                cross join lateral (select %3$s where not %7$s union select %4$s where not %8$s) as t (key)
                where t.key is not null and (%7$s or %8$s or %10$s)) as r
            group by r.page;
        end if;$update$ end,
        feed.id, place, vsync_internal.key_text(feed.keys, 'n'), vsync_internal.key_text(feed.keys, 'o'),
        vsync_internal.image_json(feed, 'n'), vsync_internal.image_json(feed, 'o'),
        vsync_internal.image_absent(feed, 'n'), vsync_internal.image_absent(feed, 'o'), pairs, vsync_internal.differs(feed))
$$;
comment on function vsync_internal.image_body(vsync_internal.feeds, int, text, text) is 'what a trigger function does for a feed whose rows rules read';
