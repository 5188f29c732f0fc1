select vsync.disable_rule(%(name)s::name) as rule;
