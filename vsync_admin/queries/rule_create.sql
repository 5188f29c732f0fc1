select vsync.create_rule(%(name)s::name, %(embedding)s::name, %(condition)s::text, %(action)s::text, %(params)s::jsonb, %(priority)s::int,
    %(valid_from)s::timestamptz, %(valid_until)s::timestamptz) as name;
