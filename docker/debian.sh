#!/bin/sh
# Installs what vsync needs from Debian: PostgreSQL, PL/Python, pgvector, and Python with venv.
# Does nothing where all is there; never makes or starts the system's own cluster.
# PG_CONFIG=/path/to/pg_config names another server; PG_MAJOR=17 picks one of several.
set -eu

PYTHON=/usr/bin/python3

say() { echo "$*" >&2; }

newest_major() {
    for program in /usr/lib/postgresql/*/bin/postgres; do
        [ -x "$program" ] && program=${program%/bin/postgres} && echo "${program##*/}"
    done | sort -n | tail -n 1
}

locate() { # sets pg_config, or leaves it empty
    pg_config=${PG_CONFIG:-}
    major=${PG_MAJOR:-$(newest_major)}
    if [ -z "$pg_config" ] && [ -n "$major" ] && [ -x "/usr/lib/postgresql/$major/bin/pg_config" ]; then
        pg_config=/usr/lib/postgresql/$major/bin/pg_config
    fi
}

has_server() { [ -n "$pg_config" ] && [ -x "$("$pg_config" --bindir)/postgres" ]; }
has_plpython() { has_server && [ -e "$("$pg_config" --pkglibdir)/plpython3.so" ]; }
has_pgvector() { has_server && [ -e "$("$pg_config" --sharedir)/extension/vector.control" ]; }
has_venv() { "$PYTHON" -c 'import ensurepip, venv' 2>/dev/null; }

missing() {
    has_server || echo "a PostgreSQL server"
    has_plpython || echo "PL/Python (plpython3u)"
    has_pgvector || echo "pgvector"
    has_venv || echo "Python with venv"
}

available() { LC_ALL=C apt-cache policy "$1" 2>/dev/null | grep -q 'Candidate: [^(]'; }

apt_install() {
    say "installing: $*"
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 "$@" >"$work/apt.log" 2>&1 ||
        { tail -n 20 "$work/apt.log" >&2; exit 1; }
}

# postgresql-common would make and start a cluster of its own as soon as a server is installed.
without_main_cluster() {
    switch=/etc/postgresql-common/createcluster.d/00-vsync.conf
    mkdir -p "${switch%/*}"
    echo 'create_main_cluster = false' >"$switch"
    "$@"
    rm -f "$switch"
    switch=
}

# Where no package of pgvector exists, Debian's own source package of a later release is built.
# Its address is the one this machine's apt already uses; sources and lists lie in a folder of their own.
build_pgvector() {
    apt_install "postgresql-server-dev-$major" gcc libc6-dev make
    mirror=$(apt-get indextargets --format '$(ORIGIN)|$(LABEL)|$(REPO_URI)' | sed -n 's/^Debian|Debian|//p' | head -n 1)
    [ -n "$mirror" ] || { say "apt knows no Debian archive to take pgvector's source from"; exit 1; }
    keyring=/usr/share/keyrings/debian-archive-keyring.gpg
    signed=
    [ ! -e "$keyring" ] || signed="[signed-by=$keyring] "
    echo "deb-src ${signed}${mirror} trixie main" >"$work/sources.list"
    mkdir -p "$work/lists/partial" "$work/source"
    cd "$work"
    say "building pgvector from Debian's source package"
    for step in update "source --download-only pgvector"; do
        # shellcheck disable=SC2086
        apt-get -qq -o Dir::Etc::sourcelist="$work/sources.list" -o Dir::Etc::sourceparts=/dev/null \
            -o Dir::State::lists="$work/lists" -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= \
            -o APT::Sandbox::User=root $step >"$work/apt.log" 2>&1 || { tail -n 20 "$work/apt.log" >&2; exit 1; }
    done
    tar -xf pgvector_*.orig.tar.gz --strip-components=1 -C "$work/source"
    for target in all install; do
        make -s -C "$work/source" PG_CONFIG="$pg_config" with_llvm=no OPTFLAGS="" $target >"$work/make.log" 2>&1 ||
            { tail -n 20 "$work/make.log" >&2; exit 1; }
    done
}

locate
wanted=$(missing)
[ -n "$wanted" ] || exit 0

say "missing on this machine:"
echo "$wanted" | sed 's/^/  /' >&2
if ! command -v apt-get >/dev/null; then
    say "this is no Debian: install them by hand"
    exit 1
fi
if [ "$(id -u)" != 0 ]; then
    say "run as root: $0"
    exit 1
fi
if [ -n "${PG_CONFIG:-}" ]; then
    case $("$PG_CONFIG" --bindir) in
    /usr/lib/postgresql/*/bin) major=$("$PG_CONFIG" --version | sed 's/[^0-9]*\([0-9]*\).*/\1/') ;;
    *) say "$PG_CONFIG belongs to no Debian package: install them into that server by hand"; exit 1 ;;
    esac
fi

work=$(mktemp -d)
switch=
trap 'rm -rf "$work"; [ -z "$switch" ] || rm -f "$switch"' EXIT
chmod 755 "$work"
apt-get update -qq -o DPkg::Lock::Timeout=300 >"$work/apt.log" 2>&1 || tail -n 5 "$work/apt.log" >&2
if [ -z "$major" ]; then
    major=$(LC_ALL=C apt-cache depends postgresql | sed -n 's/.*Depends: postgresql-\([0-9][0-9]*\)$/\1/p' | head -n 1)
    [ -n "$major" ] || { say "apt offers no PostgreSQL"; exit 1; }
fi

packages=
has_server || packages="postgresql-$major"
has_plpython || packages="$packages postgresql-plpython3-$major"
has_venv || packages="$packages python3-venv"
# shellcheck disable=SC2086
[ -z "$packages" ] || without_main_cluster apt_install $packages
locate
if ! has_pgvector; then
    if available "postgresql-$major-pgvector"; then
        apt_install "postgresql-$major-pgvector"
    else
        build_pgvector
    fi
fi

wanted=$(missing)
[ -z "$wanted" ] || { say "still missing: $wanted"; exit 1; }
