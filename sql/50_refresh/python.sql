-- Commits as it goes, so neither procedure can have SET or SECURITY DEFINER. An error travels as a value: PL/Python would put its
-- exception's name before the message.
create procedure vsync_internal.work(duration interval, embedding name, inout answer jsonb)
language plpython3u as $py$
from vsync_engine import entry
return entry.work(duration, embedding)
$py$;
comment on procedure vsync_internal.work(interval, name, jsonb) is 'what vsync.work() calls: {} or {"error"}';

create procedure vsync.work(duration interval default null, embedding name default null)
language plpgsql
as $$
declare
    v_answer jsonb;
begin
    call vsync_internal.work(duration, embedding, v_answer);
    v_answer := vsync_internal.raise_if_error(v_answer);
end
$$;
comment on procedure vsync.work(interval, name) is
'Works the queue off in this session. Without a duration: until all that was committed before the call and is due is done, failures waiting
for another attempt aside. With one: goes on for that long, sleeping when idle. Any number of sessions may work at once; cancelling or
killing one loses nothing. Not inside a transaction block. Example: call vsync.work()';
