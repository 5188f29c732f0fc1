select p.*
from vsync.preview_rule(%(embedding)s::name, %(condition)s::text, %(action)s::text, %(params)s::jsonb) as p;
