# Sourced by the scripts beside it: where Apache Kafka's jars are.

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${GROCERY_PEERS_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/grocery-peers}
version=$(sed -n 's:.*<kafka.version>\(.*\)</kafka.version>.*:\1:p' "$here/pom.xml")
jars="$cache/kafka-$version"
java=${JAVA_HOME:+$JAVA_HOME/bin/}java

die() { echo "${0##*/}: $*" >&2; exit 1; }
