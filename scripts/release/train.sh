#!/usr/bin/env bash
# Traffic for a program that counts: train.sh PROXY MOCK_BACKEND. Three quarters of a minute, half with
# the access log and half without. Called by release.sh, which says what is needed. Ends with 1 if some
# of it was not answered.
set -euo pipefail
cd "$(dirname "$0")"
proxy=$1 mock=$2
dir=$(mktemp -d)
pids=()
finish() {
    trap - EXIT
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
    wait
    rm -rf "$dir"
}
trap finish EXIT

read -r origin plain tls admin < <(python3 - <<'PY'
import socket
held = [socket.socket() for _ in range(4)]
for one in held: one.bind(("127.0.0.1", 0))
print(*[one.getsockname()[1] for one in held])
PY
)

wait_for() { # port
    for _ in $(seq 200); do
        if (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; then return; fi
        sleep 0.05
    done
    echo "nothing listens on port $1:" >&2
    cat "$dir"/*.err >&2
    exit 1
}

# Lists of some 16 KiB and 1 MiB, and one that is nearly empty.
fill() {
    python3 - "$origin" <<'PY'
import http.client, json, sys
to = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]))
for letter, books, length in [("A", 1, 10), ("B", 16, 1000), ("C", 128, 8000)]:
    for number in range(books):
        body = json.dumps({"name": "n" * length, "author": f"a{number}"})
        to.request("POST", f"/server{letter}/books", body, {"Content-Type": "application/json"})
        if (answer := to.getresponse()).status != 201:
            sys.exit(f"the mock backend says {answer.status}: {answer.read()}")
        answer.read()
PY
}

by_wrk() { # work scheme port connections [closing]
    local answered failed
    read -r _ answered failed < <(env WORK="$1" CLOSING="${5:-}" wrk -t1 -c"$4" -d2s --timeout 5s \
        -s requests.lua "$2://localhost:$3/" | grep ^answered)
    echo "  $1 $2${5:+ closing}: $answered answered, $failed failed" >&2
    [ "$answered" -gt 1000 ] && [ "$failed" -eq 0 ]
}

by_h2load() { # scheme port connections streams
    printf '%s\n' "$1://localhost:$2/items/books" "$1://localhost:$2/items/books?page=2" \
        "$1://localhost:$2/serverB/books" "$1://localhost:$2/items/books" "$1://localhost:$2/items/none" >"$dir/urls"
    h2load -t1 -c"$3" -m"$4" -n 60000 -i "$dir/urls" -H 'Authorization: Bearer secret-token' \
        -H 'User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0' \
        -H 'Accept: text/html,application/xhtml+xml,*/*;q=0.8' -H 'Accept-Encoding: gzip, deflate, br' \
        -H 'Cookie: session=4f1d8a7c2b; theme=dark' | grep '^requests: .* 60000 done, [1-9]' >&2
}

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj "/CN=localhost" \
    -addext "subjectAltName=DNS:localhost" -keyout "$dir/key.pem" -out "$dir/cert.pem" 2>/dev/null
"$mock" --listen "127.0.0.1:$origin" 2>"$dir/mock.err" &
pids+=($!)
wait_for "$origin"
fill
key=$(printf %s test | sha256sum | cut -d' ' -f1)
for log in true false; do
    sed -e "s|@LOG@|$log|g; s|@DIR@|$dir|g; s|@ORIGIN@|$origin|g; s|@PLAIN@|$plain|g; s|@TLS@|$tls|g" \
        -e "s|@ADMIN@|$admin|g; s|@KEY@|$key|g" proxy.toml >"$dir/proxy.toml"
    "$proxy" run -c "$dir/proxy.toml" >"$dir/log" 2>"$dir/proxy.err" &
    pid=$!
    pids+=("$pid")
    wait_for "$tls"
    by_wrk small http "$plain" 64
    by_wrk small http "$plain" 1000
    by_wrk post http "$plain" 64
    by_wrk medium http "$plain" 16
    by_wrk large http "$plain" 8
    by_wrk small https "$tls" 64
    by_wrk small https "$tls" 16 closing
    by_h2load https "$tls" 8 10
    by_h2load http "$plain" 8 10
    # What was counted is written down at its end.
    kill -TERM "$pid"
    wait "$pid"
done
