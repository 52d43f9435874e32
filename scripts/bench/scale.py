#!/usr/bin/env python3
"""What many routes and endpoints cost: seconds of `check`, seconds from start to the first answer,
memory, and CPU per request, beside nginx and HAProxy.

    scripts/bench/scale.py [--quick] [LAYOUT...]      layouts: one-host hosts wildcards headers endpoints
        ROUNDS=3 SECONDS_EACH=1

Layouts, each of 10, 1,000, 10,000 and 100,000 routes (`--quick`: not the last): all of one host; of
1,000 hosts; of as many wildcard hosts; of one path and as many values of a field. Every route gives
a fixed answer, which leaves nothing but the route to pay for. CPU per request is that of a hit, of a
404, a 405, and a path whose route asks for a field that is not there, in µs; rounds go through them in turn, and
medians are shown. `endpoints` is one service of 10 and of 2,000, with real requests to each.

nginx has a `location` or a `server` for each route, HAProxy a map; where their language has no such
layout, there is no line. Ends with 1 if a bar is missed: 10,000 routes: `check` in 0.3 s, first
answer in 0.5 s; 100,000: `check` in 3 s; 404, 405 and miss at most 1.5 times a hit. Needs wrk and
taskset; nginx is the origin of `endpoints`.
"""

import contextlib
import os
import pathlib
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "checks"))
import world

ROUNDS = int(os.environ.get("ROUNDS", "3"))
SECONDS = int(os.environ.get("SECONDS_EACH", "1"))
SIZES = [10, 1_000, 10_000, 100_000]
HOSTS = 1_000
SCRIPT = pathlib.Path(__file__).with_name("report.lua")
HEAD = "worker_processes 1; daemon off; pid {dir}/nginx.pid; error_log {dir}/nginx.err crit; events {{ worker_connections 8000; }}\n"
TEMPS = "".join(f"{kind}_temp_path {{dir}}/{kind}; " for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class Layout:
    """Routes of one kind: as each program writes them, and the requests that are made of them."""

    def __init__(self, name, size):
        self.name, self.size = name, size
        last = size - 1
        self.hit = (self.host(last).replace("*", "x"), self.path(last) + "x", f"v{last}")

    def host(self, i):
        return {"hosts": f"h{i % HOSTS}.test", "wildcards": f"*.h{i}.test"}.get(self.name, "a.test")

    def path(self, i):
        return "/same/" if self.name == "headers" else f"/s{i}/"

    def requests(self):
        """Work to method, host, path and value of the field that routes ask for."""
        host, path, value = self.hit
        works = {"hit": ("GET", host, path, value), "404": ("GET", host, "/absent/x", value)}
        works["405"] = ("PUT", host, path, value)
        works["miss"] = ("GET", host, "/asks/x" if self.name != "headers" else path, "absent")
        return works

    def ours(self, port):
        routes = [
            f'[[routes]]\nhost = "{self.host(i)}"\npath = "{self.path(i)}{{id}}"\nmethods = ["GET"]\n'
            + (f'headers = {{ x-env = "v{i}" }}\n' if self.name == "headers" else "")
            + "respond = { status = 200 }\n"
            for i in range(self.size)
        ]
        asks = self.host(self.size - 1)
        routes.append(
            f'[[routes]]\nhost = "{asks}"\npath = "/asks/{{id}}"\nheaders = {{ x-env = "no" }}\nrespond = {{ status = 200 }}\n'
        )
        return f'[server]\nworkers = 1\n[log]\naccess = false\n[[listeners]]\nbind = "127.0.0.1:{port}"\n' + "".join(routes)

    def nginx(self, port, folder):
        if self.name == "headers":
            return None
        servers = {}
        for i in range(self.size):
            servers.setdefault(self.host(i), []).append(
                f"location {self.path(i)} {{ limit_except GET {{ deny all; }} return 200 ''; }}\n"
            )
        blocks = "".join(
            f"server {{ listen 127.0.0.1:{port}; server_name {host};\n{''.join(places)}location / {{ return 404; }} }}\n"
            for host, places in servers.items()
        )
        hashes = "server_names_hash_max_size 1048576; variables_hash_max_size 4096; access_log off; keepalive_requests 100000000;\n"
        return HEAD.format(dir=folder) + "http { " + TEMPS.format(dir=folder) + hashes + blocks + "}\n"

    def haproxy(self, port, folder):
        if self.name not in ("one-host", "hosts"):
            return None
        lines = (f"{self.host(i)}{self.path(i)} ok\n" for i in range(self.size))
        (folder / "routes.map").write_text("".join(lines))
        return (
            "global\n nbthread 1\n maxconn 1000\ndefaults\n mode http\n timeout client 60s\n timeout server 60s\n timeout connect 1s\n"
            f"frontend traffic\n bind 127.0.0.1:{port}\n"
            f" http-request return status 200 if METH_GET {{ base,map_beg({folder}/routes.map) -m found }}\n"
            f" http-request return status 405 if {{ base,map_beg({folder}/routes.map) -m found }}\n"
            " http-request return status 404\n"
        )


class Running:
    """A program that serves a file; `starting` is the seconds until the first answer."""

    def __init__(self, command, port, request):
        self.port = port
        began = time.monotonic()
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        answered = lambda: self.process.poll() is not None or self.is_served(request)
        world.eventually(answered, 300, 0.005)
        self.starting = time.monotonic() - began
        if self.process.poll() is not None:
            sys.exit(f"did not start: {command}")

    def is_served(self, request):
        method, host, path, value = request
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 60) as peer:
            peer.sendall(f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nX-Env: {value}\r\n\r\n".encode())
            return peer.recv(12) == b"HTTP/1.1 200"
        return False

    def tree(self):
        children = subprocess.run(["pgrep", "-P", str(self.process.pid)], capture_output=True, text=True)
        return [str(self.process.pid), *children.stdout.split()]

    def cpu_ns(self):
        files = [f for pid in self.tree() for f in pathlib.Path("/proc", pid, "task").glob("*/schedstat")]
        return sum(int(file.read_text().split()[0]) for file in files)

    def rss_mib(self):
        kib = (re.search(r"VmRSS:\s+(\d+)", pathlib.Path("/proc", pid, "status").read_text()) for pid in self.tree())
        return sum(int(found[1]) for found in kib if found) / 1024

    def cpu_us(self, request):
        """CPU per request under load."""
        method, host, path, value = request
        before = self.cpu_ns()
        load = ["taskset", "-c", "1", "wrk", "-t1", "-c16", f"-d{SECONDS}s", "-s", SCRIPT, "-H", f"Host: {host}", "-H", f"X-Env: {value}"]
        with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
            script.write(f'wrk.method = "{method}"\n' + SCRIPT.read_text())
            script.flush()
            load[load.index(SCRIPT)] = script.name
            said = subprocess.run([*load, f"http://127.0.0.1:{self.port}{path}"], check=True, capture_output=True, text=True)
        return (self.cpu_ns() - before) / 1000 / int(said.stdout.rsplit("report ", 1)[1].split()[3])

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def timed(command):
    began = time.monotonic()
    said = subprocess.run(command, capture_output=True, text=True)
    if said.returncode != 0:
        sys.exit(f"{command}: {said.stderr[:1000]}")
    return time.monotonic() - began


def commands(peer, path):
    """How a file is checked, and how it is served."""
    return {
        "ours": ([world.program(), "check", "-c", path], [world.program(), "run", "-c", path]),
        "nginx": (["nginx", "-t", "-c", path], ["nginx", "-c", path]),
        "haproxy": (["haproxy", "-c", "-f", path], ["haproxy", "-f", path]),
    }[peer]


def measure(peer, text, port, works, folder):
    """Prints the line of one program; the figures."""
    path = folder / f"{peer}.conf"
    path.write_text(text)
    check, run = commands(peer, str(path))
    checking = statistics.median(timed(check) for _ in range(ROUNDS))
    running = Running(["taskset", "-c", "0", *run], port, works["hit"])
    rss = running.rss_mib()
    rounds = [{name: running.cpu_us(request) for name, request in works.items()} for _ in range(ROUNDS)]
    running.stop()
    cpu = {name: statistics.median(one[name] for one in rounds) for name in works}
    ratios = {name: statistics.median(one[name] / one["hit"] for one in rounds) for name in works}
    shown = " ".join(f"{name} {cpu[name]:5.1f} ({ratios[name]:.2f})" for name in works)
    print(f"    {peer:8} check {checking:6.2f} s  first answer {running.starting:6.2f} s  {rss:6.0f} MiB  {shown}", flush=True)
    return checking, running.starting, ratios


def routes(name, sizes, verdict):
    for size in sizes:
        layout = Layout(name, size)
        print(f"{name}, {size} routes", flush=True)
        for peer in ("ours", "nginx", "haproxy"):
            with tempfile.TemporaryDirectory() as made:
                folder, port = pathlib.Path(made), free_port()
                folder.chmod(0o755)
                text = layout.ours(port) if peer == "ours" else getattr(layout, peer)(port, folder)
                if text is None or (peer != "ours" and not shutil.which(peer)):
                    continue
                works = layout.requests()
                if peer != "ours":
                    works.pop("miss")
                checking, starting, ratios = measure(peer, text, port, works, folder)
            if peer == "ours":
                judge(verdict, f"{name}, {size}", size, checking, starting, ratios)


def judge(verdict, what, size, checking, starting, ratios):
    check_bar = {10_000: 0.3, 100_000: 3}.get(size)
    if check_bar:
        verdict.expect(checking <= check_bar, f"{what}: check in {check_bar} s")
    if size == 10_000:
        verdict.expect(starting <= 0.5, f"{what}: first answer in 0.5 s")
    for name in ("404", "405", "miss"):
        verdict.expect(ratios[name] <= 1.5, f"{what}: {name} costs at most 1.5 times a hit")


def endpoints(folder):
    """One service of few and of many endpoints, all of them one nginx behind as many addresses."""
    port = free_port()
    addresses = [f"127.{1 + i // 250}.0.{1 + i % 250}:{port}" for i in range(2_000)]
    listens = "".join(f"listen {address};" for address in addresses)
    origin_text = HEAD.format(dir=folder) + "http { " + TEMPS.format(dir=folder) + f"access_log off; keepalive_requests 100000000; server {{ {listens} return 200 ok; }} }}"
    (folder / "origin.conf").write_text(origin_text)
    origin = subprocess.Popen(["taskset", "-c", "1", "nginx", "-c", str(folder / "origin.conf")])
    try:
        for count in (10, 2_000):
            for strategy in ("random", "least_requests"):
                print(f"one service, {count} endpoints, {strategy}", flush=True)
                own, listed = free_port(), ", ".join(f'"http://{one}"' for one in addresses[:count])
                text = (
                    f'[server]\nworkers = 1\n[log]\naccess = false\n[[listeners]]\nbind = "127.0.0.1:{own}"\n'
                    f'[[routes]]\nservice = "s"\n[services.s]\nendpoints = [{listed}]\nbalance = "{strategy}"\n'
                )
                measure("ours", text, own, {"hit": ("GET", "a.test", "/", "x")}, folder)
    finally:
        origin.terminate()
        origin.wait()


def main():
    world.end_on_signals()
    world.raise_open_files()
    named = [word for word in sys.argv[1:] if not word.startswith("-")]
    sizes = SIZES[:-1] if "--quick" in sys.argv else SIZES
    verdict = world.Verdict()
    for name in named or ["one-host", "hosts", "wildcards", "headers", "endpoints"]:
        if name == "endpoints":
            with tempfile.TemporaryDirectory() as made:
                pathlib.Path(made).chmod(0o755)
                endpoints(pathlib.Path(made))
        else:
            routes(name, sizes, verdict)
    verdict.exit()


if __name__ == "__main__":
    main()
