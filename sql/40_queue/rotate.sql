create function vsync_internal.rotate()
returns int
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_folded pg_snapshot;
    v_current int := vsync_internal.slot();
    v_slot int;
    v_left boolean;
    v_emptied int := 0;
begin
    -- the check below must see what committed before the lock was granted: one snapshot a statement
    if current_setting('transaction_isolation') <> 'read committed' then
        return 0;
    end if;
    if not exists (select from vsync_internal.log as l where l.slot <> v_current) then
        return 0;
    end if;
    if not vsync_internal.try_lock_table('fold') then
        return 0;
    end if;
    select f.snapshot into v_folded from vsync_internal.fold_state as f;
    for v_slot in 0 .. 2 loop
        continue when v_slot = v_current or v_folded is null;
        execute format('select exists (select from vsync_internal.%1$I) and not exists (select from vsync_internal.%1$I as l '
            'where not pg_visible_in_snapshot(l.xid, $1))', 'log_' || v_slot) into v_left using v_folded;
        continue when not v_left;
        begin
            -- a writer that still holds its old table keeps this lock from us
            execute format('lock table vsync_internal.%I in access exclusive mode nowait', 'log_' || v_slot);
        exception when lock_not_available then
            continue;
        end;
        execute format('select exists (select from vsync_internal.%I as l where not pg_visible_in_snapshot(l.xid, $1))',
            'log_' || v_slot) into v_left using v_folded;
        if not v_left then
            execute format('truncate vsync_internal.%I', 'log_' || v_slot);
            v_emptied := v_emptied + 1;
        end if;
    end loop;
    return v_emptied;
end
$$;
comment on function vsync_internal.rotate() is 'empties log tables that are folded and not in use; never waits for a lock. Returns how many';
