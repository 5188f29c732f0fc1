#!/bin/sh
# Starts the container's PostgreSQL. The first time it makes the cluster, and in it what setup.sql says; it then needs
# VSYNC_APP_PASSWORD and VSYNC_WORKER_PASSWORD. Another command than postgres is run as it is.
set -eu

[ "${1:-}" = postgres ] || exec "$@"

command -v initdb >/dev/null || PATH=$(ls -d /usr/lib/postgresql/*/bin | sort -V | tail -n 1):$PATH
if [ ! -e "$PGDATA/vsync.ready" ]; then
    for name in VSYNC_APP_PASSWORD VSYNC_WORKER_PASSWORD; do
        eval "[ -n \"\${$name:-}\" ]" || { echo "$name is not set" >&2; exit 1; }
    done
    if [ ! -s "$PGDATA/PG_VERSION" ]; then
        initdb --username=postgres --auth=reject --encoding=UTF8 --locale=C.UTF-8 --no-instructions
        # the superuser has no password: it comes in as the operating system's user postgres alone
        printf '%s\n' >"$PGDATA/pg_hba.conf" 'local all postgres peer' 'host all postgres all reject' \
            'local all all scram-sha-256' 'host all all all scram-sha-256'
    fi
    # nobody else connects before all is there
    private=$(mktemp -d)
    pg_ctl --silent --wait --log="$private/log" --options="-c listen_addresses='' -c unix_socket_directories=$private -c port=5432" start ||
        { cat "$private/log" >&2; exit 1; }
    status=0
    PGHOST=$private PGPORT=5432 PGUSER=postgres PGDATABASE=postgres psql -X -q -f "${0%/*}/setup.sql" || status=$?
    pg_ctl --silent --wait --mode=fast stop
    rm -rf "$private"
    [ "$status" = 0 ] || exit "$status"
    touch "$PGDATA/vsync.ready"
fi
unset VSYNC_APP_PASSWORD VSYNC_WORKER_PASSWORD
exec "$@" -c "listen_addresses=*"
