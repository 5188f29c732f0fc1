-- Commits as it goes, so it can have neither SET nor SECURITY DEFINER.
create procedure vsync.work(duration interval default null, embedding name default null)
language plpython3u as $py$
from vsync_engine import entry
entry.work(duration, embedding)
$py$;
comment on procedure vsync.work(interval, name) is
'Works the queue off in this session. Without a duration: until all that was committed before the call and is due is done, failures waiting
for another attempt aside. With one: goes on for that long, sleeping when idle. Any number of sessions may work at once; cancelling or
killing one loses nothing. Not inside a transaction block. Example: call vsync.work()';
