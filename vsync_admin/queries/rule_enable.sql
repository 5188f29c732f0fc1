select vsync.enable_rule(%(name)s::name) as rule;
