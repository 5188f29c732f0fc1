delete from debian.packages as p where not exists (select from catalogue as c where c.name = p.name);
insert into debian.packages as p
select c.* from catalogue as c
on conflict (name) do update
set version = excluded.version, section = excluded.section, maintainer = excluded.maintainer,
    summary = excluded.summary, description = excluded.description
where (p.*) is distinct from (excluded.*);
drop table catalogue;
analyze debian.packages;
