# Sourced by the scripts beside it: where Apache Kafka's jars are, and how one broker of a cluster folder is started and stopped.
# A cluster folder D holds cluster.env (fixed when it is created), endpoints.env (for callers), logs/broker-I.log, and
# broker-I/{server.properties,pid,log/}.

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=scripts/peers/common.sh
. "$here/../common.sh"
pinned_version=$(sed -n 's:.*<kafka.version>\(.*\)</kafka.version>.*:\1:p' "$here/pom.xml")

jars() { echo "$cache/kafka-$1"; }

# Sets `java`.
needs_java() { java=$(find_java 17) || missing "needs Java 17 (Debian: apt-get install openjdk-17-jre-headless)"; }

open_cluster() {
    [ -f "$1/cluster.env" ] || die "no cluster in '$1' (cluster.env is missing)"
    dir=$(cd "$1" && pwd)
    # shellcheck disable=SC1091
    . "$dir/cluster.env"
}

# The pid of broker $1 when it runs; a recycled pid does not count.
running_pid() {
    local pid
    pid=$(cat "$dir/broker-$1/pid" 2>/dev/null) || return 1
    tr '\0' '\n' 2>/dev/null <"/proc/$pid/cmdline" | grep -qxF "$dir/broker-$1/server.properties" || return 1
    echo "$pid"
}

# Launches broker $1 in its own session. `await_broker` tells when it serves.
launch_broker() {
    local log="$dir/logs/broker-$1.log" urls= jvm
    [ -n "${OAUTH_JWKS_URL:-}" ] && urls="-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls=$OAUTH_JWKS_URL,$OAUTH_TOKEN_URL"
    touch "$log"
    wc -c <"$log" >"$dir/broker-$1/log-offset"
    # The collector and the compiler that cost least: tests start brokers more often than they load them.
    jvm="-Xms128m -XX:+UseSerialGC -XX:TieredStopAtLevel=1"
    # Those of Kafka's kafka-run-class.sh, and a heap that does not have to grow first.
    [ -z "${STEADY:-}" ] || jvm="-server -Xms$HEAP -XX:+UseG1GC -XX:MaxGCPauseMillis=20 \
        -XX:InitiatingHeapOccupancyPercent=35 -XX:+ExplicitGCInvokesConcurrent"
    # shellcheck disable=SC2016,SC2086
    setsid nohup sh -c 'echo $$ >"$0"; exec "$@"' "$dir/broker-$1/pid" \
        "$java" $jvm "-Xmx$HEAP" -XX:+ExitOnOutOfMemoryError -Djava.awt.headless=true \
        "-Dlog4j2.configurationFile=$here/log4j2.xml" $urls ${KAFKA_PEER_JVM_OPTS:-} \
        -cp "$(jars "$KAFKA_VERSION")/*" kafka.Kafka "$dir/broker-$1/server.properties" \
        >>"$log" 2>&1 </dev/null &
}

# Waits until broker $1 is registered, unfenced and accepts clients: only then does it log "Kafka Server started".
await_broker() {
    local log="$dir/logs/broker-$1.log" offset deadline=$((SECONDS + ${KAFKA_PEER_START_SECONDS:-240}))
    offset=$(cat "$dir/broker-$1/log-offset")
    sleep 0.5
    until tail -c "+$((offset + 1))" "$log" | grep -q 'Kafka Server started'; do
        running_pid "$1" >/dev/null || { tail -n 30 "$log" >&2; die "broker $1 exited while starting; see $log"; }
        [ $SECONDS -lt $deadline ] || { tail -n 30 "$log" >&2; die "broker $1 did not start in time; see $log"; }
        sleep 0.2
    done
}

# Ends broker $1 with signal $2 and waits until its process is gone. A process that is held by SIGSTOP is let go first.
end_broker() {
    local pid
    pid=$(running_pid "$1") || return 0
    kill "-$2" "$pid"
    kill -CONT "$pid" 2>/dev/null || true
    while running_pid "$1" >/dev/null; do sleep 0.1; done
    rm -f "$dir/broker-$1/pid"
}

write_endpoints() {
    local i pids=
    for i in $(seq "$BROKERS"); do pids+=",$i:$(running_pid "$i" || true)"; done
    { cat "$dir/cluster.env"; env_lines BROKER_PIDS "${pids#,}"; } >"$dir/endpoints.env.new"
    mv "$dir/endpoints.env.new" "$dir/endpoints.env"
}
