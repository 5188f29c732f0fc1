create function vsync.text_change(a text, b text)
returns float8
language plpgsql
immutable
parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
    -- the default collation may call different texts equal
    v_a text collate "C" := '  ' || coalesce(text_change.a, '') || '  ';
    v_b text collate "C" := '  ' || coalesce(text_change.b, '') || '  ';
    v_shortest int := least(length(v_a), length(v_b));
    v_longest int := greatest(length(v_a), length(v_b));
    v_head int := 2;
    v_tail int := 2;
    v_low int;
    v_high int;
    v_common bigint;
begin
    if v_a = v_b then
        return 0;
    elsif v_shortest = 4 then
        return 1;
    end if;
    -- What both begin and end with is common; only the sequences between are counted one by one.
    v_high := v_shortest - 2;
    while v_head < v_high loop
        v_low := (v_head + v_high + 1) / 2;
        if left(v_a, v_low) = left(v_b, v_low) then
            v_head := v_low;
        else
            v_high := v_low - 1;
        end if;
    end loop;
    v_high := v_shortest - v_head;
    while v_tail < v_high loop
        v_low := (v_tail + v_high + 1) / 2;
        if right(v_a, v_low) = right(v_b, v_low) then
            v_tail := v_low;
        else
            v_high := v_low - 1;
        end if;
    end loop;
    select coalesce(sum(least(p.in_a, p.in_b)), 0) into v_common
    from (
        select count(*) filter (where g.first) as in_a, count(*) filter (where not g.first) as in_b
        from (
            select m.first, u.letter || lead(u.letter) over following || lead(u.letter, 2) over following as letters
            from (values (true, v_a), (false, v_b)) as m (first, whole)
            cross join lateral unnest(string_to_array(
                substr(m.whole, v_head - 1, length(m.whole) - v_head - v_tail + 4), null)) with ordinality as u (letter, place)
            window following as (partition by m.first order by u.place)) as g
        where g.letters is not null
        group by g.letters collate "C") as p;
    v_common := v_common + (v_head - 2) + (v_tail - 2);
    return 1 - 2.0::float8 * v_common / (v_shortest + v_longest - 4);
end
$$;
comment on function vsync.text_change(text, text) is
'the share of two texts that differs, from 0 (equal) to 1: 1 - 2c / (m + n), where m and n are the numbers of sequences of three
characters in each text, with two spaces put before and behind it, and c is how many of them both have, counted as often as both have
them. Null is the empty text. In a rule: the change since the last embedding. Example: select vsync.text_change(''the quick brown fox'', ''the quick brown dog'');
select vsync.create_rule(''typos'', ''catalog'', ''vsync.text_change(last.content, doc.content) < 0.02'', ''defer'', ''{"until": "22:00"}'')';

create function vsync.changed(new anyelement, old anyelement, variadic columns text[])
returns boolean
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select coalesce(bool_or(to_jsonb(changed.new) -> c.name is distinct from to_jsonb(changed.old) -> c.name), false)
    from unnest(changed.columns) as c (name)
$$;
comment on function vsync.changed(anyelement, anyelement, text[]) is
'whether one of the columns differs between two rows, null being a value. A rule with it is run as the comparisons it stands for:
(new.price is distinct from old.price or …). Example: not vsync.changed(new, old, ''title'', ''body''), as in
select vsync.create_rule(''stock'', ''catalog'', ''not vsync.changed(new, old, ''''title'''', ''''body'''')'', ''skip'')';
