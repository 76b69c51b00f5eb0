#!/usr/bin/env bash
# Makes all that the other make targets need, inside the checkout:
#   .tools/  uv, pinned
#   .venv/   the locked packages, Lambent itself (editable), and lambent-setup.json: where Java and the jars are
#   .jars/   Delta's jars, and an archive of classes that lets Spark start sooner
# Each step leaves a stamp with what it was made from, and is done again only when that changes.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() { printf 'setup: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

# step NAME COMMAND...: runs it, showing its output only if it fails, and says how long it took.
step() {
    local name=$1 start=$SECONDS log
    shift
    log=$(mktemp)
    say "$name ..."
    if ! "$@" >"$log" 2>&1; then
        cat "$log" >&2
        rm -f "$log"
        die "$name: failed, see above"
    fi
    rm -f "$log"
    say "$name: done in $((SECONDS - start)) s"
}

digest() { sha256sum | cut -d ' ' -f 1; }
is_stamped() { [[ -f $1 && $(<"$1") == "$2" ]]; }

# need PACKAGE WHAT: a Debian package, installed when we may, or else asked for in one line.
updated=
need() {
    if [[ $(id -u) != 0 ]] || ! have apt-get; then
        die "$2 is missing. Install it (Debian, Ubuntu: apt-get install $1), then run this again."
    fi
    [[ $updated ]] || step "apt-get update" apt-get update -q
    updated=yes
    step "apt-get install $1" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$1"
}

# --- What the machine must have --------------------------------------------------------------------------------------

# The first Python 3.11 or 3.12 among $PYTHON, python3, python3.12 and python3.11. In an active venv (make puts our own
# first in PATH) it is the one that the venv was made from.
find_python() {
    local candidate
    for candidate in ${PYTHON:-python3 python3.12 python3.11}; do
        "$candidate" -c 'import os, sys
sys.version_info[:2] in ((3, 11), (3, 12)) or sys.exit(1)
print(os.path.realpath(sys._base_executable))' 2>/dev/null && return
    done
    return 1
}

java_version_of() { "$1/bin/java" -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p'; }

# The home of a Java 17: JAVA_HOME, the one in PATH, or one where Linux distributions put them.
find_java() {
    local home in_path
    in_path=$(readlink -f "$(command -v java || echo /none/bin/java)")
    for home in "${JAVA_HOME:-}" "${in_path%/bin/java}" /usr/lib/jvm/*; do
        if [[ $home && -x $home/bin/java && $(java_version_of "$home") == 17 ]]; then
            readlink -f "$home"
            return
        fi
    done
    return 1
}

# --- The steps -------------------------------------------------------------------------------------------------------

# Joined by &&, since a function that runs as a condition does not stop at an error by itself.
make_tools() {
    rm -rf .tools/bin .tools/lib &&
        "$python" -m venv .tools &&
        .tools/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r infra/uv.txt &&
        printf '%s' "$1" >.tools/.stamp
}

make_venv() {
    .tools/bin/uv venv --quiet --clear --python "$python" .venv &&
        printf '%s' "$1" >.venv/.stamp
}

# Compiled here, once: hundreds of short processes import these packages, some where Python may write no .pyc files.
sync_venv() {
    .tools/bin/uv pip sync --quiet --compile-bytecode requirements.lock &&
        printf '%s' "$1" >.venv/.sync-stamp
}

# Without dependencies and without build isolation: nothing comes from outside the lock.
install_project() {
    .tools/bin/uv pip install --quiet --no-deps --no-build-isolation --editable . &&
        printf '%s' "$1" >.venv/.project-stamp
}

make_jars() {
    .venv/bin/python infra/jars.py .jars &&
        printf '%s' "$1" >.jars/.stamp
}

write_facts() {
    .venv/bin/python - "$JAVA_HOME" >.venv/lambent-setup.json <<'PY'
import json, pathlib, sys
jars = sorted(str(jar) for jar in pathlib.Path(".jars").resolve().glob("*.jar"))
print(json.dumps({"java_home": sys.argv[1], "jars": jars}, indent=2))
PY
}

# What is compiled, as lambent.compiled names it.
fold_sources=(lambent/{compiled,kernel,monoid,packing,record_packing,views,sessions,encoding,aggregates,catalogue,events}.py)

compile_fold() {
    .venv/bin/python -c 'import lambent.compiled' &&
        printf '%s' "$1" >.venv/.fold-stamp
}

# Only speed depends on it, so set-up goes on where it fails, and does not try again each time.
make_class_archive() {
    rm -f .jars/.no-classes
    .venv/bin/python -m spark_jobs.archive || rm -f .jars/classes.jsa
    [[ -f .jars/classes.jsa ]] || cp /dev/null .jars/.no-classes
    printf '%s' "$1" >.jars/.classes-stamp
}

has_class_archive() { [[ -f .jars/classes.jsa || -f .jars/.no-classes ]]; }

# --- All of it -------------------------------------------------------------------------------------------------------

mkdir -p .tools
# Two makes at once would write over each other.
exec 9>.tools/.lock
flock 9

python=$(find_python) || die "Python 3.11 or 3.12 is missing. Install it, or name it: PYTHON=/path/to/python3.12"
# A venv holds absolute paths, so the checkout's own place is part of what it was made from.
key=$({ "$python" -VV; printf '%s\n' "$python" "$PWD"; cat infra/{setup.sh,jars.py,uv.txt} "${fold_sources[@]}" spark_jobs/archive.py requirements.lock pyproject.toml; } | digest)
if is_stamped .venv/.setup-stamp "$key" && has_class_archive; then
    exit 0
fi

# In a home that is not there or not ours to write, caches go into the checkout.
if [[ ! -w ${HOME:-/none} ]]; then
    mkdir -p .tools/home
    export HOME=$PWD/.tools/home
fi
# A company's proxy signs with a certificate that the system knows and uv's own list does not.
export UV_SYSTEM_CERTS=true
export UV_PROJECT_ENVIRONMENT=.venv VIRTUAL_ENV=$PWD/.venv UV_PYTHON_DOWNLOADS=never
started=$SECONDS

"$python" -c 'import ensurepip' 2>/dev/null || need "python$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')-venv" "Python's venv module"
have g++ || need g++ "A C++ compiler (Horovod is built here)"
have make || need make "make (Horovod is built here)"
# Redis beside Valkey, for tests: the server's program without its service. Nothing else needs it, so set-up goes on without.
if ! have redis-server && ! have redis-check-rdb && [[ $(id -u) == 0 ]] && have apt-get; then
    (need redis-tools "Redis 7 (for tests)") || say "no Redis: its tests are left out"
fi
find_java >/dev/null || need openjdk-17-jre-headless "Java 17 (for Spark)"
JAVA_HOME=$(find_java) || die "Java 17 is missing, and could not be installed."
export JAVA_HOME

tools_key=$({ "$python" -VV; printf '%s\n' "$python" "$PWD"; cat infra/uv.txt; } | digest)
is_stamped .tools/.stamp "$tools_key" || step "uv into .tools" make_tools "$tools_key"
is_stamped .venv/.stamp "$tools_key" || step "an empty .venv" make_venv "$tools_key"

sync_key=$({ printf '%s\n' "$tools_key"; cat requirements.lock; } | digest)
is_stamped .venv/.sync-stamp "$sync_key" ||
    step "the locked packages into .venv (3 GB; the first time Horovod is built)" sync_venv "$sync_key"

project_key=$({ printf '%s\n' "$sync_key"; cat pyproject.toml; } | digest)
is_stamped .venv/.project-stamp "$project_key" || step "Lambent into .venv, editable" install_project "$project_key"

fold_key=$({ printf '%s\n' "$project_key"; cat "${fold_sources[@]}"; } | digest)
is_stamped .venv/.fold-stamp "$fold_key" || step "the fold into machine code" compile_fold "$fold_key"

jars_key=$({ cat infra/jars.py; grep -E '^(pyspark|delta-spark)==' requirements.lock; } | digest)
is_stamped .jars/.stamp "$jars_key" || step "Delta's jars into .jars" make_jars "$jars_key"

write_facts
classes_key=$({ printf '%s\n' "$tools_key" "$jars_key" "$("$JAVA_HOME/bin/java" -version 2>&1)"; cat spark_jobs/archive.py; } | digest)
is_stamped .jars/.classes-stamp "$classes_key" && has_class_archive ||
    step "Java's archive of Spark's classes" make_class_archive "$classes_key"
[[ -f .jars/classes.jsa ]] || say "no archive of Spark's classes: a job starts seconds later. To try again: rm .jars/.no-classes"

printf '%s' "$key" >.venv/.setup-stamp
say "ready after $((SECONDS - started)) s"
