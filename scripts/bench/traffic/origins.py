"""What stands behind the proxies: mock backends that can be killed, and an nginx that costs little;
HAProxy beside ours; and what the scripts of this folder begin with. Every process is stopped by its
id."""

import contextlib
import os
import pathlib
import random
import signal
import socket
import subprocess
import sys
import tempfile

sys.path.append(str(pathlib.Path(__file__).resolve().parents[2] / "checks"))
import world  # noqa: E402


def begin():
    """What each of these scripts does first; gives its verdict."""
    # Processes are forked: what is still unwritten then would be written by each of them.
    sys.stdout.reconfigure(line_buffering=True)
    world.raise_open_files()
    world.end_on_signals()
    return world.Verdict()


def free_ports(count):
    """Ports below those that the system gives to connections. Where nothing listens on a port of
    that range, one connect in 28,000 gets it as its own and is connected to itself."""
    with open("/proc/sys/net/ipv4/ip_local_port_range") as limits:
        lowest = int(limits.read().split()[0])
    held = []
    with contextlib.ExitStack() as stack:
        for port in random.sample(range(10000, lowest), 200):
            one = stack.enter_context(socket.socket())
            try:
                one.bind(("127.0.0.1", port))
            except OSError:
                continue
            held.append(port)
            if len(held) == count:
                return held
    sys.exit("no free ports")


def await_listening(port, name):
    def listens():
        with socket.socket() as one:
            return one.connect_ex(("127.0.0.1", port)) == 0

    if not world.eventually(listens, 10, step=0.01):
        sys.exit(f"{name} does not listen on port {port}")


class Program:
    """A program that listens on `port`."""

    def __init__(self, command, port):
        silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self.process = subprocess.Popen(command, **silent)
        await_listening(port, command[0])

    def stop(self, number=signal.SIGKILL):
        if self.process.poll() is None:
            self.process.send_signal(number)
        self.process.wait()


def start_mock(port):
    return Program([world.program("mock-backend"), "--listen", f"127.0.0.1:{port}"], port)


def filled(folder, name, text):
    path = pathlib.Path(folder.name, name)
    path.write_text(text)
    return path


NGINX = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/nginx.err crit;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    client_body_temp_path {folder}/a;
    proxy_temp_path {folder}/b;
    fastcgi_temp_path {folder}/c;
    uwsgi_temp_path {folder}/d;
    scgi_temp_path {folder}/e;
    keepalive_requests 100000000;
    {servers}
}}
"""
SERVER = "server {{ listen 127.0.0.1:{} backlog=4096; location / {{ return {} 'ok\\n'; }} }}"


class Nginx(Program):
    """One process without master that answers the status of each port at once."""

    def __init__(self, statuses):
        self.folder = tempfile.TemporaryDirectory()
        folder = self.folder.name
        servers = "\n".join(SERVER.format(*one) for one in statuses.items())
        path = filled(self.folder, "nginx.conf", NGINX.format(folder=folder, servers=servers))
        super().__init__(["nginx", "-e", f"{folder}/nginx.err", "-c", path], min(statuses))


HAPROXY = """
global
    nbthread {threads}
    maxconn 5000
defaults
    mode http
    timeout client 75s
    timeout server 60s
    timeout connect 1s
    http-reuse always
frontend traffic
    bind 127.0.0.1:{port}
    default_backend origins
backend origins
    balance {balance}
    {servers}
"""


class Haproxy(Program):
    """With as many threads as our proxy has workers by default."""

    def __init__(self, balance, ports):
        self.folder = tempfile.TemporaryDirectory()
        (self.port,) = free_ports(1)
        servers = "\n    ".join(f"server s{port} 127.0.0.1:{port}" for port in ports)
        known = {"port": self.port, "balance": balance, "servers": servers}
        text = HAPROXY.format(threads=os.cpu_count(), **known)
        super().__init__(["haproxy", "-f", filled(self.folder, "haproxy.cfg", text)], self.port)


def urls(ports):
    """A list of endpoints for the configuration."""
    return "[" + ", ".join(f'"http://127.0.0.1:{port}"' for port in ports) + "]"


def total(samples, name, *labels):
    """The sum of a metric over its series that carry all of `labels`, written as on the page."""
    return sum(
        value
        for sample, value in samples.items()
        if sample.partition("{")[0] == name and all(label in sample for label in labels)
    )
