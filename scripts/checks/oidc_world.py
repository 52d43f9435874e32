"""The world of oidc.py: the issuer, an origin that says what it got, a proxy whose routes want
tokens, and clients with such.
"""

import base64
import collections
import http.client
import http.server
import json
import os
import pathlib
import select
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import urllib.request

import pebble
import world

API, OTHER, OPAQUE = "https://api.test", "https://other.test", "https://opaque.test"
INVALID = 'error="invalid_token"'
JWKS, INTROSPECTION = "/jwks", "/token/introspection"
# Between two fetches of a key set, in seconds, and what clocks and machines add or take.
BETWEEN, SLACK = 10, 0.2
TIMEOUT = 0.5
ORIGIN = """
[services.origin]
endpoints = ["http://127.0.0.1:{origin}"]
"""
# Path, scheme, and what a route requires.
ROUTE = """
[[routes]]
service = "origin"
path = "{}"
auth = "{}"
require = {{{{ {} }}}}
"""
SIGNED = ORIGIN + """
[auth_schemes.signed]
type = "jwt"
jwks_url = "{issuer}/jwks?of={name}"
issuer = "{issuer}"
audience = "https://api.test"
algorithms = ["RS256"]
claims_to_headers = {{ sub = "X-User", scope = "X-Scope", team = "X-Team" }}
""" + "".join([
    ROUTE.format("/signed", "signed", ""),
    ROUTE.format("/write", "signed", 'scopes = ["write"]'),
    ROUTE.format("/team", "signed", 'claims = {{ team = ["red", "blue"] }}'),
])
ASKED = ORIGIN + """
[auth_schemes.asked]
type = "introspection"
url = "{issuer}/token/introspection"
client_id = "proxy"
client_secret = "proxy-secret"
cache = "1s"
timeout = "500ms"
claims_to_headers = {{ client_id = "X-User" }}
[auth_schemes.misfit]
type = "introspection"
url = "{issuer}/token/introspection"
client_id = "proxy"
client_secret = "not-its-secret"
""" + "".join([
    ROUTE.format("/asked", "asked", ""),
    ROUTE.format("/asked/write", "asked", 'scopes = ["write"]'),
    ROUTE.format("/misfit", "misfit", ""),
])


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers with the fields that it got."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self):
        body = json.dumps(self.headers.items()).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Origin(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_):
        """A connection that the proxy has given up."""


def find_provider():
    """The folder whose node_modules has oidc-provider."""
    if missing := [name for name in ("node", "npm") if not shutil.which(name)]:
        print(f"this needs {', '.join(missing)}: apt-get install nodejs npm")
        sys.exit(2)
    cache = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    folder = pathlib.Path(cache, "proxy-checks", "oidc")
    if not (folder / "node_modules/oidc-provider/lib/index.js").exists():
        folder.mkdir(parents=True, exist_ok=True)
        install = ["npm", "install", "--no-audit", "--no-fund", "--loglevel=error"]
        install += ["--prefix", folder, "oidc-provider@9.13.3"]
        subprocess.run(install, check=True, stdout=subprocess.DEVNULL)
    return folder


class Issuer:
    """oidc_issuer.mjs: the provider itself over HTTP, and what it is told over its stdin."""

    def __init__(self):
        self.folder, self.guard = tempfile.TemporaryDirectory(), threading.Lock()
        self.log = open(self.folder.name + "/log", "w+")
        script = pathlib.Path(__file__).with_name("oidc_issuer.mjs")
        command = ["node", script, find_provider(), str(pebble.free_ports(1)[0])]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(
            command, stdin=pipe, stdout=pipe, stderr=self.log, text=True
        )
        self.url = self.hear()

    def hear(self):
        # Of each answer nothing is left in the buffer.
        heard, _, _ = select.select([self.process.stdout], [], [], 30)
        line = self.process.stdout.readline() if heard else '{"error": "no answer"}'
        said = json.loads(line or '{"error": "it has ended"}')
        if "error" in said:
            self.log.seek(0)
            sys.exit(f"the issuer: {said['error']}\n{self.log.read()[-2000:]}")
        return said["said"]

    def tell(self, do, **more):
        with self.guard:
            self.process.stdin.write(json.dumps({"do": do, **more}) + "\n")
            self.process.stdin.flush()
            return self.hear()

    def sign(self, by="issuer", header=None, **claims):
        return self.tell("sign", by=by, header=header or {}, claims=claims)

    def mode(self, path, mode):
        self.tell("mode", path=path, **{"is": mode})

    def asked(self, path, query=""):
        """When it was asked for that."""
        return [at for at, of in self.tell("asked", path=path) if query in of]

    def post(self, path, **form):
        secret = base64.b64encode(b"alice:alice-secret").decode()
        data = urllib.parse.urlencode(form).encode()
        request = urllib.request.Request(self.url + path, data)
        request.add_header("Authorization", f"Basic {secret}")
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.loads(answer.read() or "{}")

    def token(self, resource=API, scope="read"):
        """One that the provider itself gives to its client `alice`."""
        form = {"grant_type": "client_credentials", "resource": resource, "scope": scope}
        return self.post("/token", **form)["access_token"]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.log.close()
        self.folder.cleanup()


class Answer:
    def __init__(self, answer, began):
        body = answer.read()
        self.status, self.took = answer.status, time.monotonic() - began
        self.challenge = answer.getheader("WWW-Authenticate", "")
        self.why = answer.getheader("Proxy-Status", "").rpartition("details=")[2].strip('"')
        self.seen = json.loads(body) if self.status == 200 else []

    def fields(self, name):
        """What the origin got under that name, however it is spelt."""
        flat = str.maketrans("_.", "--")
        return [value for key, value in self.seen if key.lower().translate(flat) == name]

    def __str__(self):
        said = f"{self.status} {self.why} {self.challenge}".strip()
        return f"{said} ({self.took * 1000:.0f} ms)"


class Client:
    """One connection."""

    def __init__(self, port):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)

    def get(self, path, token, *fields):
        began = time.monotonic()
        self.connection.putrequest("GET", path)
        for name, value in (("Authorization", f"Bearer {token}"), *fields):
            self.connection.putheader(name, value)
        self.connection.endheaders()
        return Answer(self.connection.getresponse(), began)


class Site:
    """A proxy, the issuer, and the verdict about them."""

    def __init__(self, name, config, issuer, origin, verdict):
        self.name, self.issuer, self.verdict = f"{name}.", issuer, verdict
        config = config.format(issuer=issuer.url, name=self.name, origin=origin.server_port)
        self.proxy = world.Proxy(config)
        self.client = Client(self.proxy.port)

    def expect(self, holds, what):
        self.verdict.expect(holds, what)

    def get(self, path, token, *fields):
        return self.client.get(path, token, *fields)

    def wants(self, what, path, token, status, word=""):
        answer = self.get(path, token)
        holds = answer.status == status and word in answer.challenge + answer.why
        self.expect(holds, f"{what}: {answer}")
        return answer

    def fetches(self):
        return len(self.issuer.asked(JWKS, self.name))

    def may_fetch(self):
        """Waits until another fetch is allowed, whatever was asked before."""
        time.sleep(BETWEEN + SLACK)

    def finish(self):
        times = self.issuer.asked(JWKS, self.name)
        gaps = [later - sooner for sooner, later in zip(times, times[1:])]
        least = f", the closest {min(gaps):.1f} s apart" if gaps else ""
        if times:
            holds = all(gap > BETWEEN - SLACK for gap in gaps)
            self.expect(holds, f"{len(times)} fetches of the key set{least}")
        is_well = self.proxy.is_alive() and not self.proxy.panics()
        self.expect(is_well, "alive, no panic")
        if not is_well:
            print("".join(self.proxy.stderr_lines[-20:]))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.proxy.kill()


# A status, or what went wrong.
Record = collections.namedtuple("Record", "key began ended status")


class Load:
    """Clients with connections of their own, each with the tokens that its pick gives: the number
    of the key, and a token."""

    def __init__(self, site, picks, path="/signed"):
        self.site, self.path, self.records, self.stops = site, path, [], False
        self.threads = [threading.Thread(target=self.run, args=[pick]) for pick in picks]

    def run(self, pick):
        client = Client(self.site.proxy.port)
        while not self.stops:
            key, token = pick()
            began = time.monotonic()
            try:
                status = client.get(self.path, token).status
            except (OSError, http.client.HTTPException) as error:
                status, client = repr(error), Client(self.site.proxy.port)
            self.records.append(Record(key, began, time.monotonic(), status))
            time.sleep(0.002)

    def slowest(self):
        return max([one.ended - one.began for one in self.records], default=0) * 1000

    def failures(self):
        return [one for one in self.records if one.status != 200]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stops = True
        for thread in self.threads:
            thread.join()
