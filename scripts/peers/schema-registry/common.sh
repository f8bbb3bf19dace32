# Sourced by the scripts beside it: where the server lies, and which process runs it.

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=scripts/peers/common.sh
. "$here/../common.sh"
version=3.3.3
server=$cache/apicurio-registry-$version

# The pid of folder $1's registry when it runs; a recycled pid does not count.
running_pid() {
  local pid
  pid=$(cat "$1/pid" 2>/dev/null) || return 1
  tr '\0' '\n' 2>/dev/null <"/proc/$pid/cmdline" | grep -qxF -- "-Dgrocery.peer=$1" || return 1
  echo "$pid"
}
