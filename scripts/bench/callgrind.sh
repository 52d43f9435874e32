# Sourced behind proxies.sh: counts the instructions of a proxy under valgrind. Whoever sources it says
# with `request_load WORK SECONDS` what is asked, which prints the answers and the failures, and with
# SECONDS_EACH and WARM_UP how long.
# shellcheck shell=bash disable=SC2154

count() { # program work file: prints instructions per request; what was counted goes to the file
    local answers failed total
    taskset -c 0 valgrind --tool=callgrind --instr-atstart=no --callgrind-out-file="$3" \
        "$1" run -c "$dir/proxy.toml" >/dev/null 2>"$dir/valgrind.err" &
    proxy_pid=$!
    wait_for "$port" valgrind
    request_load "$2" "${WARM_UP:-2}" >/dev/null
    callgrind_control -i on "$proxy_pid" >/dev/null 2>&1
    read -r answers failed < <(request_load "$2" "$SECONDS_EACH")
    callgrind_control -i off "$proxy_pid" >/dev/null 2>&1
    stop_valgrind
    total=$(awk '/^totals:/ { print $2 }' "$3")
    if [ "$failed" != 0 ] || [ "$answers" = 0 ] || [ "${total:-0}" = 0 ]; then
        echo "$1, $2: $answers answers, $failed failures, ${total:-no} instructions" >&2
        return 1
    fi
    echo $((total / answers))
}

stop_valgrind() { # it writes what it has counted as it ends, which takes a while
    kill -TERM "$proxy_pid"
    for _ in $(seq 150); do
        kill -0 "$proxy_pid" 2>/dev/null || break
        sleep 0.1
    done
    stop_proxy
}
