create function vsync_internal.find_embedding(name name)
returns vsync_internal.embeddings
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_embedding vsync_internal.embeddings;
begin
    select * into v_embedding from vsync_internal.embeddings as e where e.name = find_embedding.name;
    if not found then
        raise exception using
            errcode = 'VS302',
            message = format('embedding "%s" does not exist', coalesce(find_embedding.name, 'null')),
            detail = 'select name from vsync.embeddings lists them.',
            hint = vsync_internal.did_you_mean(coalesce(find_embedding.name, ''), array(select e.name::text from vsync_internal.embeddings as e order by 1));
    end if;
    v_embedding.owner := vsync_internal.owner_of(v_embedding.name);
    return v_embedding;
end
$$;
comment on function vsync_internal.find_embedding(name) is 'an embedding by name, or error VS302';

create function vsync_internal.find_version(embedding name, version int)
returns vsync_internal.versions
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_version vsync_internal.versions;
begin
    perform vsync_internal.find_embedding(embedding);
    select * into v_version from vsync_internal.versions as v
    where v.embedding = find_version.embedding and v.version = find_version.version and v.state <> 'dropped';
    if not found then
        raise exception using
            errcode = 'VS401',
            message = format('embedding "%s" has no version %s', embedding, coalesce(version::text, 'null')),
            detail = format('Its versions are %s.', (select string_agg(format('%s (%s)', v.version, v.state), ', ' order by v.version)
                from vsync_internal.versions as v where v.embedding = find_version.embedding)),
            hint = format('select version, state from vsync.versions where embedding = %L', embedding);
    end if;
    return v_version;
end
$$;
comment on function vsync_internal.find_version(name, int) is 'a live version by number, or error VS401';

create function vsync_internal.fingerprint(version vsync_internal.versions)
returns text
language sql
stable
set search_path = pg_catalog, pg_temp
as $$ select encode(sha256(convert_to(version.document, 'UTF8')), 'hex') $$;
comment on function vsync_internal.fingerprint(vsync_internal.versions) is 'sha256 of a version''s document query, as it was given';

create function vsync_internal.owner_of(embedding name)
returns name
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    return (
        select coalesce(pg_get_userbyid(p.proowner), e.owner) from vsync_internal.embeddings as e
        left join vsync_internal.serving as s on s.embedding = e.name
        left join vsync_internal.versions as v on v.embedding = e.name and v.version = s.version
        left join pg_proc as p on p.pronamespace = 'vsync_data'::regnamespace and p.proname = (v.data || '_missing')::name
        where e.name = owner_of.embedding);
end
$$;
comment on function vsync_internal.owner_of(name) is
'the role an embedding belongs to, whatever it is called today: the owner of the reader that stays when the document''s view goes. A view of that name made by
somebody else changes nothing';
