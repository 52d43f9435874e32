"""A proxy of its own for one check: its configuration, its figures, its end. Everything is on
loopback and on free ports, and every process that was started is stopped by its id.

The program is the release build of this repository, built if need be, or what PROXY names; another
of its programs likewise, by its own name (MOCK_BACKEND).
"""

import contextlib
import http.client
import importlib
import json
import os
import pathlib
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time

ONE_LISTENER = '[[listeners]]\nbind = "127.0.0.1:0"\n'
ROOT = pathlib.Path(__file__).resolve().parents[2]


def program(name="proxy"):
    given = os.environ.get(name.upper().replace("-", "_"))
    if given:
        return given
    build = ["cargo", "build", "--release", "--quiet", "--locked", "-p", name]
    subprocess.run(build, cwd=ROOT, check=True)
    asked = ["cargo", "metadata", "--format-version", "1", "--no-deps"]
    said = subprocess.run(asked, cwd=ROOT, check=True, capture_output=True).stdout
    return json.loads(said)["target_directory"] + "/release/" + name


def find_package(module, *wanted):
    """Makes a Python package importable: the system's, or what pip installs for these checks into
    ${XDG_CACHE_HOME:-~/.cache}/proxy-checks."""
    with contextlib.suppress(ImportError):
        importlib.import_module(module)
        return
    cache = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    folder = pathlib.Path(cache, "proxy-checks", module.partition(".")[0])
    if not folder.exists():
        install = [sys.executable, "-m", "pip", "install", "--quiet", "--target", folder]
        quiet = os.environ | {"PIP_ROOT_USER_ACTION": "ignore"}
        subprocess.run([*install, *wanted], check=True, env=quiet)
    sys.path.insert(0, str(folder))


def raise_open_files():
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def end_on_signals():
    """Ctrl-C and TERM end this program as an exception does: what it has started is stopped."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: sys.exit(130))


class Proxy:
    """A running proxy. `config` is everything but the listeners, `listeners` these; the access log
    goes to `log`, an open file, or nowhere."""

    def __init__(self, config, log=subprocess.DEVNULL, listeners=ONE_LISTENER):
        self.folder = tempfile.TemporaryDirectory()
        path = pathlib.Path(self.folder.name, "proxy.toml")
        path.write_text(config + listeners + '[admin]\nbind = "127.0.0.1:0"\n')
        self.stderr_lines = []
        self.addresses = {}
        self.process = subprocess.Popen(
            [program(), "run", "-c", path],
            stdout=log,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.ready = threading.Event()
        self.reader = threading.Thread(target=self._read_stderr, daemon=True)
        self.reader.start()
        if not self.ready.wait(10):
            self.kill()
            sys.exit("the proxy did not start:\n" + "".join(self.stderr_lines))

    def _read_stderr(self):
        for line in self.process.stderr:
            self.stderr_lines.append(line)
            words = line.split()
            if words[:1] == ["listening"]:
                self.addresses[words[1]] = words[2].rsplit(":", 1)
                if len(self.addresses) == 2:
                    self.ready.set()

    @property
    def port(self):
        return int(self.addresses["traffic"][1])

    def admin(self, path):
        """Status and text of a page of the admin listener."""
        connection = http.client.HTTPConnection(*self.addresses["admin"], timeout=10)
        with contextlib.closing(connection):
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()

    def metrics(self):
        """Every sample: name with labels, as it is printed, to its value."""
        lines = self.admin("/metrics")[1].splitlines()
        samples = (line.rsplit(" ", 1) for line in lines if line and line[0] != "#")
        return {name: float(value) for name, value in samples}

    def rss_mib(self):
        with open(f"/proc/{self.process.pid}/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmRSS")) / 1024

    def open_files(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def is_alive(self):
        return self.process.poll() is None

    def terminate(self):
        self.process.send_signal(signal.SIGTERM)

    def exit_code(self, timeout):
        """The exit code; None if it has not ended by then."""
        try:
            code = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            return None
        self.reader.join(5)
        return code

    def panics(self):
        return [line for line in self.stderr_lines if "panicked" in line]

    def settle(self):
        """Waits until all workers have started, as far as the files that they open tell."""
        self.metrics()
        counts = []

        def is_steady():
            counts.append(self.open_files())
            return len(counts) > 5 and len(set(counts[-5:])) == 1

        eventually(is_steady, 10)

    def kill(self):
        if self.is_alive():
            self.process.kill()
            self.process.wait()
        self.folder.cleanup()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()


def eventually(holds, seconds, step=0.1):
    """Whether it comes to hold within that time."""
    end = time.monotonic() + seconds
    while not (held := holds()) and time.monotonic() < end:
        time.sleep(step)
    return held


class Verdict:
    """What was expected and did not hold; printed as it is found."""

    def __init__(self):
        self.failed = 0

    def expect(self, holds, what):
        print(f"{'ok  ' if holds else 'FAIL'}  {what}", flush=True)
        self.failed += not holds

    def exit(self):
        print("passed" if not self.failed else f"{self.failed} expectations failed")
        sys.exit(1 if self.failed else 0)
