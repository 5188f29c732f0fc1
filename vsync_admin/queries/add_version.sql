select vsync.add_version(
    embedding => %(embedding)s::name,
    model => %(model)s::name,
    document => %(document)s::text,
    chunk => %(chunk)s::jsonb,
    options => %(options)s::jsonb) as version;
