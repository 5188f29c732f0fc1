select vsync.drop_rule(%(name)s::name) as rule;
