select vsync.alter_rule(%(name)s::name, condition => %(condition)s::text, action => %(action)s::text, params => %(params)s::jsonb,
    priority => %(priority)s::int, valid_from => %(valid_from)s::timestamptz, valid_until => %(valid_until)s::timestamptz) as revision;
