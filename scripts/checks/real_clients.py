#!/usr/bin/env python3
"""Programs of others, as they are, through the proxy: clients, origins that sign connections in or
answer one host alone, and what runs commands far away.

    scripts/checks/real_clients.py [NAME...]

NAME is jdk, apache, curl, python, hey, ntlm, django, docker or kubectl.

Each must get what it would get from the origin itself. A program that is missing is named and fails
the check. Java programs are run from scripts/checks/real_clients. HTTPCLIENT_JARS may name another
folder with the jars of Apache HttpClient 5 than /usr/share/java; from 5.4 on it offers TLS with
each request, which is said for it before. docker is the client, and podman behind it what runs a
container of busybox. Packages of Python and npm are installed into a cache if need be.
"""

import asyncio
import concurrent.futures
import contextlib
import glob
import http.client
import json
import os
import re
import sys

import real_exec
import real_world
import world
from real_world import SOURCES, digest

LARGE = bytes((at * 31 + at // 256) % 256 for at in range(300_000))
DJANGO = """
host = "app.test"
health = {{ path = "/health", interval = "100ms", healthy = 1, unhealthy = 1{more} }}
"""


def echoed(text):
    """What the origin said it got."""
    said = {"method": "nothing", "length": -1, "digest": "", "fields": {}}
    with contextlib.suppress(ValueError):
        said |= json.loads(text)
    return said


def is_as_sent(said, method, body):
    return (said["method"], said["digest"]) == (method, digest(body))


def lines_of(done):
    """Name, protocol, status and what the origin said, of each line of a Java program."""
    lines = (line.split("\t") for line in done.stdout.splitlines())
    return [(name, spoken, status, echoed(said)) for name, spoken, status, said in lines]


def check_jdk(site):
    if not site.has("java", "apt-get install default-jdk-headless"):
        return
    source = SOURCES / "JdkClient.java"
    done = site.run("java", source, site.clear_url + "/jdk", site.tls_url + "/jdk", site.ca)
    lines = lines_of(done)
    bodies = [("GET", b""), ("POST", b""), ("POST", b"x=1"), ("PUT", LARGE), ("POST", LARGE)]
    together = ("POST", LARGE[:10_000])
    for kind, version in [
        ("clear", "HTTP_1_1"),
        ("clear, 1.1", "HTTP_1_1"),
        ("tls", "HTTP_2"),
        ("tls, 1.1", "HTTP_1_1"),
    ]:
        for number, (method, body) in enumerate(bodies):
            name = f"{kind} {number}"
            found = [line for line in lines if line[0] == name]
            holds = [line[1:3] for line in found] == [(version, "200")]
            holds = holds and is_as_sent(found[0][3], method, body)
            offers = {"upgrade", "http2-settings"}.intersection(
                *(line[3]["fields"] for line in found)
            )
            seen = [*(line[1:3] for line in found), *offers]
            site.expect(holds and not offers, f"jdk {kind}: {method} of {len(body)} B: {seen}")
        found = [line for line in lines if line[0] == f"{kind} together"]
        holds = [line[1:3] == (version, "200") and is_as_sent(line[3], *together) for line in found]
        site.expect(holds == [True] * 40, f"jdk {kind}: {sum(holds)} of 40 together")
    site.expect(done.returncode == 0, f"jdk: ends well {done.stderr.strip()[-400:]}")


def check_apache(site):
    if not site.has("java", "apt-get install default-jdk-headless"):
        return
    folder = os.environ.get("HTTPCLIENT_JARS", "/usr/share/java")
    jars = [*glob.glob(folder + "/http*5*.jar"), *glob.glob("/usr/share/java/slf4j-[an]*p*.jar")]
    if not any("httpclient5" in one for one in jars):
        site.expect(False, "httpclient5.jar is missing: apt-get install libhttpclient5-java")
        return
    source = SOURCES / "ApacheClient.java"
    done = site.run("java", "-cp", ":".join(jars), source, site.clear_url)
    version = (done.stderr.split() or ["nothing"])[0]
    lines = lines_of(done)
    for name, method, body in [
        ("GET", "GET", b""),
        ("GET, offers TLS", "GET", b""),
        ("POST, offers TLS", "POST", b"x=1"),
        ("POST", "POST", b"x=1"),
        ("POST chunked", "POST", bytes(300_000)),
        ("POST without", "POST", b""),
    ]:
        found = [line for line in lines if line[0] == name]
        holds = [line[2] == "200" and is_as_sent(line[3], method, body) for line in found]
        offers = {line[3]["fields"].get("upgrade") for line in found}
        what = f"{name}: {sum(holds)} of 10, the origin sees Upgrade {offers}"
        site.expect(holds == [True] * 10, f"apache {version}: {what}")
    site.expect(done.returncode == 0, f"apache {version}: ends well {done.stderr.strip()[-400:]}")


def check_curl(site):
    if not site.has("curl", "apt-get install curl"):
        return
    large = site.folder / "large"
    large.write_bytes(LARGE)
    x1 = ["-d", "x=1"]
    upload = ["-X", "POST", "-T", large]
    for flags, method, body, spoken in [
        (["--http2"], "GET", b"", "1.1"),
        (["--http2", *x1], "POST", b"x=1", "1.1"),
        (["--http2", "-X", "POST", "-d", ""], "POST", b"", "1.1"),
        (["--http2", "--data-binary", f"@{large}"], "POST", LARGE, "1.1"),
        (["--http2", *upload, "-H", "Transfer-Encoding: chunked"], "POST", LARGE, "1.1"),
        (["--http2-prior-knowledge", *x1], "POST", b"x=1", "2"),
        (["--http1.0", *x1], "POST", b"x=1", "1.0"),
        (["-H", "Upgrade: tcp", "-H", "Connection: Upgrade", *x1], "POST", b"x=1", "1.1"),
    ]:
        expect_curl(site, flags, site.clear_url, method, body, spoken)
    for flags, method, body, spoken in [
        (["--http2", *x1], "POST", b"x=1", "2"),
        (["--http2", *upload], "POST", LARGE, "2"),
        (["--http1.1", *upload], "POST", LARGE, "1.1"),
        (["--http1.0", *x1], "POST", b"x=1", "1.0"),
    ]:
        expect_curl(site, ["--cacert", site.ca, *flags], site.tls_url, method, body, spoken)


def expect_curl(site, flags, url, method, body, spoken):
    wanted = ["-w", "%{http_version} %{http_code}", "-m", 20]
    done = site.run("curl", "-sS", *wanted, *flags, url + "/curl")
    said, _, end = done.stdout.rpartition("\n")
    # The answer to HTTP/1.0 may be of 1.1 (RFC 9110 section 2.5).
    holds = end in (f"{spoken} 200", f"{spoken.replace('1.0', '1.1')} 200")
    holds = holds and is_as_sent(echoed(said), method, body)
    shown = " ".join("large" if "/large" in str(flag) else str(flag) for flag in flags)
    shown = shown.replace(site.ca, "ca.pem")
    site.expect(holds, f"curl {shown} {url.split(':')[0]}: {end} {done.stderr.strip()}")


def check_python(site):
    aiohttp = [("aiohttp", "aiohttp"), ("httpx", "httpx[http2]"), ("requests", "requests")]
    for module, wanted in aiohttp:
        world.find_package(module, wanted)
    import httpx
    import requests

    pieces = [LARGE[at : at + 7000] for at in range(0, len(LARGE), 7000)]
    url = site.clear_url + "/python"
    connection = http.client.HTTPConnection("127.0.0.1", site.clear.port, timeout=20)
    for body, name in [(LARGE, "with a length"), (iter(pieces), "chunked"), (None, "without")]:
        connection.request("POST", "/python", body=body)
        answer = connection.getresponse()
        expect_post(site, f"http.client, {name}", answer.status, answer.read(), body)
    for body, name in [(LARGE, "with a length"), (iter(pieces), "chunked"), (None, "without")]:
        answer = requests.post(url, data=body, timeout=20)
        expect_post(site, f"requests, {name}", answer.status_code, answer.content, body)
    for body, name in [(LARGE, "with a length"), (iter(pieces), "chunked"), (None, "without")]:
        answer = httpx.post(url, content=body, timeout=20, trust_env=False)
        expect_post(site, f"httpx, {name}", answer.status_code, answer.content, body)
    asyncio.run(ask_aiohttp(site, url))


async def ask_aiohttp(site, url):
    import aiohttp

    bound = aiohttp.ClientTimeout(20)
    async with aiohttp.ClientSession(timeout=bound) as session:
        for chunked in (None, True):
            async with session.post(url, data=LARGE, chunked=chunked) as answer:
                name = f"aiohttp, {'chunked' if chunked else 'with a length'}"
                expect_post(site, name, answer.status, await answer.read(), LARGE)


def expect_post(site, name, status, said, body):
    holds = status == 200 and is_as_sent(echoed(said), "POST", LARGE if body else b"")
    site.expect(holds, f"{name}: {status}")


def check_hey(site):
    """It names the server in TLS with the port behind it."""
    if not site.has("hey", "apt-get install hey"):
        return
    for flags, url in [([], site.clear_url), ([], site.tls_url), (["-h2"], site.tls_url)]:
        done = site.run("hey", "-n", 200, "-c", 10, "-t", 10, *flags, url + "/hey")
        counts = re.findall(r"\[(\d+)\]\s+(\d+) responses", done.stdout)
        errors = " ".join(done.stdout.partition("Error distribution:")[2].split())
        name = " ".join(["hey", *flags, url.split(":")[0]])
        site.expect(counts == [("200", "200")], f"{name}: {counts} {errors}")


def check_ntlm(site):
    """A signs in; B has no credentials and must not be taken for A, nor A for C."""
    programs = [("node", "nodejs"), ("npm", "npm"), ("curl", "curl")]
    if not all([site.has(name, f"apt-get install {package}") for name, package in programs]):
        return
    folder = real_world.npm_folder("ntlm", "express@5", "express-ntlm@2")
    quiet = {"stdout": -1, "stderr": -3, "text": True}
    with real_world.running("node", SOURCES / "ntlm.mjs", folder, **quiet) as origin:
        endpoint = f"http://127.0.0.1:{int(origin.stdout.readline())}"
        straight = ask_ntlm(site, endpoint, "anna")
        site.expect(straight == ["anna"] * 3, f"ntlm without the proxy: {straight}")
        for tls in (False, True):
            with site.before(endpoint, tls=tls) as proxy:
                scheme = "https" if tls else "http"
                expect_ntlm(site, f"{scheme}://{real_world.HOST}:{proxy.port}")


def expect_ntlm(site, url):
    scheme, seen = url.split(":")[0], {"anna": [], "berta": [], None: []}
    # One after the other, then beside each other.
    for at_once in (1, 6):
        with concurrent.futures.ThreadPoolExecutor(at_once) as threads:
            asked = [(one, threads.submit(ask_ntlm, site, url, one)) for one in [*seen] * 10]
        for client, answers in asked:
            seen[client].extend(answers.result())
    for client, answers in seen.items():
        count = answers.count(client or "401")
        holds = count == len(answers) == 60
        others = sorted(set(answers) - {client or "401"})
        name = client or "nobody"
        site.expect(holds, f"ntlm {scheme}: {name} is {name} {count} of 60 times, else {others}")


def ask_ntlm(site, url, client):
    """Whom the origin takes the client to be, in three requests of one connection."""
    sign_in = ["--ntlm", "-u", f"HOUSE\\{client}:secret"] if client else []
    shown = ["-sS", "-m", 20, "--cacert", site.ca, "-w", "%{http_code}\\n"]
    done = site.run("curl", *shown, *sign_in, *[f"{url}/{at}" for at in range(3)])
    said = done.stdout.split()
    return [one for one in said if one != "200"] or [done.stderr.strip()]


def check_django(site):
    folder = real_world.python_folder("django", "django")
    port = real_world.free_port()
    words = [sys.executable, SOURCES / "django_app.py", folder, port]
    with real_world.running(*words, stdout=-3, stderr=-3):
        started = world.eventually(lambda: real_world.accepts(port), 20)
        site.expect(started, "django: the site has started")
        endpoint = f"http://127.0.0.1:{port}"
        asked = site.run(
            "curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", endpoint + "/health"
        )
        site.expect(asked.stdout == "400", f"django: another host is refused: {asked.stdout}")
        for more, passes in [("", True), (', host = "other.test"', False)]:
            with site.before(endpoint, DJANGO.format(more=more)) as proxy:
                expect_django(site, proxy, more, passes)


def expect_django(site, proxy, more, passes):
    def samples(name):
        found = [(one, value) for one, value in proxy.metrics().items() if one.startswith(name)]
        return {" ".join(re.findall(r'="(passed|failed)"', one)): value for one, value in found}

    world.eventually(lambda: sum(samples("proxy_health_checks_total").values()) >= 10, 20)
    seen = samples("proxy_health_checks_total")
    down = [*samples("proxy_endpoint_healthy").values()]
    page = site.run("curl", "-sS", "-w", "%{http_code}", f"http://127.0.0.1:{proxy.port}/page")
    what = f"django, checks{more or ' by the host of the service'}: {seen}, healthy {down}"
    site.expect(down == [float(passes)], f"{what}, a page: {page.stdout.split()}")
    if passes:
        site.expect(page.stdout.split() == ["app.test", "200"], "django: the page is served")


CHECKS = {
    "jdk": check_jdk,
    "apache": check_apache,
    "curl": check_curl,
    "python": check_python,
    "hey": check_hey,
    "ntlm": check_ntlm,
    "django": check_django,
    "docker": real_exec.check_docker,
    "kubectl": real_exec.check_kubectl,
}


def main():
    names = sys.argv[1:] or list(CHECKS)
    if unknown := set(names) - set(CHECKS):
        sys.exit(f"no such check: {unknown}; there are: " + ", ".join(CHECKS))
    world.end_on_signals()
    verdict = world.Verdict()
    with real_world.site(verdict) as site:
        for name in names:
            print(f"== {name}")
            CHECKS[name](site)
    verdict.exit()


if __name__ == "__main__":
    main()
