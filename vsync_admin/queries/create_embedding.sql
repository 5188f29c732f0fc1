select vsync.create_embedding(
    name => %(name)s::name,
    document => %(document)s::text,
    model => %(model)s::name,
    capture => %(capture)s::text,
    chunk => %(chunk)s::jsonb,
    index => %(index)s::jsonb,
    if_not_exists => %(if_not_exists)s) as name;
