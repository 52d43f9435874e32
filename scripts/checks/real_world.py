"""The world of real_clients.py: an origin that says what it got, a proxy in clear and one over TLS
before it, and programs that are run with a bound on their time.
"""

import contextlib
import dataclasses
import hashlib
import http.server
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading

import tls_ca
import world

HOST = "localhost"
SOURCES = pathlib.Path(__file__).with_name("real_clients")
SERVICE = """
[[routes]]
service = "origin"
[services.origin]
endpoints = ["{endpoint}"]
"""


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self):
        body = self.read_body()
        said = {
            "method": self.command,
            "target": self.path,
            "fields": {name.lower(): value for name, value in self.headers.items()},
            "length": len(body),
            "digest": hashlib.sha256(body).hexdigest(),
        }
        text = json.dumps(said).encode() + b"\n"
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(text)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = answer

    def read_body(self):
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        pieces = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        while self.rfile.readline().strip():
            """A trailer."""
        return b"".join(pieces)

    def log_message(self, *_):
        pass


class Origin(http.server.ThreadingHTTPServer):
    request_queue_size = 256

    def handle_error(self, *_):
        """A connection that the proxy has given up."""


def digest(body):
    return hashlib.sha256(body).hexdigest()


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return listening.getsockname()[1]


def accepts(port):
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


@contextlib.contextmanager
def running(*words, **more):
    """A program that is stopped by its id at the end."""
    process = subprocess.Popen([*map(str, words)], **more)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def python_folder(module, *wanted):
    """Where pip has put the package for another program, or where the system has it."""
    world.find_package(module, *wanted)
    found = __import__(module).__file__
    return pathlib.Path(found).parents[1]


def npm_folder(name, *wanted):
    """What npm installs for these checks into ${XDG_CACHE_HOME:-~/.cache}/proxy-checks."""
    cache = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    folder = pathlib.Path(cache, "proxy-checks", name)
    if not (folder / "node_modules").exists():
        folder.mkdir(parents=True, exist_ok=True)
        install = ["npm", "install", "--silent", "--no-audit", "--no-fund", *wanted]
        subprocess.run(install, cwd=folder, check=True)
    return folder


@dataclasses.dataclass
class Site:
    """What the checks ask through, and where they say what they found."""

    folder: pathlib.Path
    ca: str
    cert: pathlib.Path
    key: pathlib.Path
    verdict: world.Verdict
    origin: Origin
    clear: world.Proxy = None
    tls: world.Proxy = None

    @property
    def clear_url(self):
        return f"http://{HOST}:{self.clear.port}"

    @property
    def tls_url(self):
        return f"https://{HOST}:{self.tls.port}"

    @contextlib.contextmanager
    def before(self, endpoint, more="", tls=False):
        """A proxy of its own before another endpoint, with `more` of its service's settings. Its
        last lines of requests that it failed are shown."""
        listeners = tls_ca.listener(self.cert, self.key) if tls else world.ONE_LISTENER
        log = tempfile.TemporaryFile("w+")
        config = SERVICE.format(endpoint=endpoint) + more
        with log, world.Proxy(config, log=log, listeners=listeners) as proxy:
            yield proxy
            self.expect(proxy.is_alive() and not proxy.panics(), "the proxy is alive, no panic")
            log.seek(0)
            failed = [line for line in log if re.search(r'"status":[45].*"reason":"', line)]
            sys.stdout.writelines("      " + line for line in failed[-3:])

    def run(self, *words, seconds=120, **more):
        """The program's end; its standard output and error as text."""
        try:
            return subprocess.run(
                [*map(str, words)], capture_output=True, text=True, timeout=seconds, **more
            )
        except subprocess.TimeoutExpired as late:
            said = [(one or b"").decode(errors="replace") for one in (late.stdout, late.stderr)]
            return subprocess.CompletedProcess(words, "none in time", *said)

    def expect(self, holds, what):
        self.verdict.expect(holds, what)

    def has(self, program, install):
        """Whether it is there; if not, that is said and fails the check."""
        found = shutil.which(program) is not None
        if not found:
            self.expect(False, f"{program} is missing: {install}")
        return found


@contextlib.contextmanager
def site(verdict):
    origin = Origin(("127.0.0.1", 0), Handler)
    threading.Thread(target=origin.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        authority = tls_ca.Authority(folder)
        cert, key = authority.issue("site", [HOST, "127.0.0.1"])
        made = Site(authority.folder, str(authority.pem), cert, key, verdict, origin)
        endpoint = f"http://127.0.0.1:{origin.server_port}"
        made.clear = stack.enter_context(made.before(endpoint))
        made.tls = stack.enter_context(made.before(endpoint, tls=True))
        yield made
