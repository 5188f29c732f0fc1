select v.version, vsync_internal.has_index(v) as built
from vsync_internal.find_version(%(embedding)s::name,
    coalesce(%(version)s::int, (vsync_internal.serving_version(%(embedding)s::name)).version)) as v
