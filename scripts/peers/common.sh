# Sourced by the scripts of every peer: where downloads lie, what to say when a tool is missing, free ports, files of NAME=VALUE lines.

cache=${GROCERY_PEERS_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/grocery-peers}

die() { echo "${0##*/}: $*" >&2; exit 1; }

# A tool of the machine is missing: exit code 3 tells it from a failure.
missing() { echo "${0##*/}: $*" >&2; exit 3; }

needs_maven() { command -v mvn >/dev/null || missing "needs Maven (Debian: apt-get install maven)"; }

# The major version of the Java at $1, nothing when it is none.
java_major() { "$1" -XshowSettings:properties -version 2>&1 | sed -n 's/^ *java\.specification\.version = \(1\.\)\{0,1\}//p'; }

# Prints the path of a Java of version $1 or newer: JAVA_HOME's, the one in PATH, or one that is installed beside either.
find_java() {
    local least=$1 home found major
    found=$(readlink -f "$(command -v java)" 2>/dev/null) || found=
    for home in "${JAVA_HOME:-}" "${found%/bin/java}" "${found%/*/bin/java}"/* /usr/lib/jvm/*; do
        [ -x "$home/bin/java" ] || continue
        major=$(java_major "$home/bin/java")
        [ "${major:-0}" -lt "$least" ] || { echo "$home/bin/java"; return; }
    done
    return 1
}

# Ports are taken below the kernel's ephemeral range: otherwise a client's own socket can take one while its server is down.
port_is_free() { ! (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# NAME=VALUE lines that a shell can source and a line-by-line reader can split: quoted only where a shell needs it.
env_lines() {
    while [ $# -gt 0 ]; do
        case $2 in
        *[!A-Za-z0-9_.,:/@%+=-]*) printf '%s=%q\n' "$1" "$2" ;;
        *) printf '%s=%s\n' "$1" "$2" ;;
        esac
        shift 2
    done
}
