#!/usr/bin/env python3
"""Tokens of a real OpenID provider, npm's oidc-provider: signed ones and introspected ones.

    scripts/checks/oidc.py [--proxy PATH] [SCENARIO]...

Without scenarios all of them run, in about two minutes. PATH is the release build unless given.
Needs node and npm (apt-get install nodejs npm); the package oidc-provider is installed into a cache
if need be. Each scenario has a proxy of its own, which the issuer tells apart by the query of
its key set's URL: no proxy may ask for it twice within 10 s.
"""

import argparse
import http.client
import os
import random
import threading
import time
import uuid

import world
from oidc_world import (
    ASKED, BETWEEN, INTROSPECTION, INVALID, JWKS, OPAQUE, OTHER, SIGNED, SLACK, TIMEOUT, Client,
    Issuer, Load, Origin, Handler, Site,
)


def tokens(site):
    """Tokens that are as they should be, and those that are not."""
    issuer, now = site.issuer, int(time.time())
    site.wants("a token of the provider", "/signed", issuer.token(), 200)
    site.wants("one more, of the same key", "/signed", issuer.sign(), 200)
    for what, arguments in {
        "expired": {"exp": now - 120},
        "not valid yet": {"nbf": now + 120},
        "without expiry": {"exp": None},
        "wrong audience": {"aud": OTHER},
        "without audience": {"aud": None},
        "wrong issuer": {"iss": "https://evil.test"},
        "the issuer among others": {"iss": ["https://evil.test", issuer.url]},
        "signed by a stranger": {"by": "stranger"},
        "by a stranger, whose key is in it": {"by": "stranger", "header": {"jwk": "own"}},
    }.items():
        site.wants(what, "/signed", issuer.sign(**arguments), 401, INVALID)
    other = issuer.token(resource=OTHER)
    site.wants("the provider's, for another audience", "/signed", other, 401, INVALID)
    site.wants("opaque", "/signed", issuer.token(resource=OPAQUE), 401, INVALID)
    for word in ("none", "None", "NONE", "nOnE", ""):
        token = issuer.sign(by="nobody", header={"alg": word})
        site.wants(f'alg = "{word}"', "/signed", token, 401, INVALID)
    head, body, signature = issuer.sign().split(".")
    site.wants("without signature", "/signed", f"{head}.{body}.", 401, INVALID)
    changed = f"{head}.{issuer.sign(scope='write').split('.')[1]}.{signature}"
    site.wants("claims of another", "/signed", changed, 401, INVALID)
    for kind in ("pem", "pem without line end", "PKCS#1 pem", "der", "modulus"):
        token = issuer.sign(by=kind, header={"alg": "HS256"})
        site.wants(f"HS256 with the public key as {kind}", "/signed", token, 401, INVALID)
    unknown = issuer.sign(by="stranger", header={"kid": str(uuid.uuid4())})
    site.wants("unknown kid", "/signed", unknown, 401, INVALID)
    # Within the leeway of a minute, for three seconds more.
    ending = issuer.sign(exp=int(time.time()) - 57)
    site.wants("expired within the leeway", "/signed", ending, 200)
    time.sleep(4.5)
    site.wants("the same, known by now, later", "/signed", ending, 401, INVALID)


def rights(site):
    """What a token lets its bearer do, and what the origin learns of it."""
    issuer = site.issuer
    lacking = 'error="insufficient_scope", scope="write"'
    site.wants("scope read at /write", "/write", issuer.token(), 403, lacking)
    both = issuer.token(scope="read write")
    site.wants("scope read write at /write", "/write", both, 200)
    site.wants("scope readwrite at /write", "/write", issuer.sign(scope="readwrite"), 403, lacking)
    site.wants("no scope at /write", "/write", issuer.sign(scope=None), 403, lacking)
    site.wants("team green at /team", "/team", issuer.sign(team="green"), 403, "forbidden")
    site.wants("team blue at /team", "/team", issuer.sign(team="blue"), 200)
    spoofed = [(name, "admin") for name in ("X-User", "x_user", "X.User", "X-USER", "x_Team")]
    spoofed.append(("X-Scope", "everything"))
    answer = site.get("/signed", both, *spoofed)
    got = {name: answer.fields(name) for name in ("x-user", "x-scope", "x-team")}
    wanted = {"x-user": ["alice"], "x-scope": ["read write"], "x-team": []}
    site.expect(got == wanted, f"beside a client's own, the origin got {got}: {answer}")
    answer = site.get("/signed", issuer.sign(sub=None), *spoofed)
    got = answer.status, answer.fields("x-user")
    site.expect(got == (200, []), f"without the claim, the origin got {got[1]}: {answer}")


def unknown(site):
    """200 key ids that nobody has, in 5 s, beside a valid token."""
    issuer, valid = site.issuer, site.issuer.sign()
    site.wants("a valid token", "/signed", valid, 200)
    strangers = [issuer.sign(by="stranger", header={"kid": str(uuid.uuid4())}) for _ in range(200)]
    site.may_fetch()
    before, answers, began = site.fetches(), [], time.monotonic()

    def send(tokens):
        client = Client(site.proxy.port)
        for token in tokens:
            answers.append(client.get("/signed", token))
            time.sleep(0.2)

    with Load(site, [lambda: (0, valid)]) as load:
        threads = [threading.Thread(target=send, args=[strangers[at::8]]) for at in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    took, fetches = time.monotonic() - began, site.fetches() - before
    right = sum(one.status == 401 and INVALID in one.challenge for one in answers)
    slowest = max([one.took for one in answers], default=0) * 1000
    text = f"{right} of {len(answers)} unknown kids refused, the slowest {slowest:.0f} ms"
    site.expect(right == len(answers) == 200, text)
    allowed = 1 + int(took / BETWEEN)
    text = f"the issuer was asked {fetches} times in {took:.1f} s, {allowed} allowed"
    site.expect(1 <= fetches <= allowed, text)
    bad, all_of = len(load.failures()), len(load.records)
    text = f"{bad} of {all_of} valid requests failed meanwhile, the slowest {load.slowest():.0f} ms"
    site.expect(not bad and all_of > 50, text)


def rotation(site):
    """Keys that change under the load of four clients: one is put beside the old one, of which
    tokens go on being sent; the next takes the place of both. New tokens are sent at once."""
    issuer = site.issuer
    batches = [[issuer.token() for _ in range(20)]]

    def newest():
        key = len(batches) - 1
        return key, random.choice(batches[key])

    def first():
        return 0, random.choice(batches[0])

    for keep, picks in ((1, [newest, newest, first, first]), (0, [newest] * 4)):
        new = len(batches)
        with Load(site, picks) as load:
            site.may_fetch()
            before, rotated = site.fetches(), time.monotonic()
            issuer.tell("rotate", keep=keep)
            batches.append([issuer.token() for _ in range(20)])
            time.sleep(3)
        # What is under way when its key leaves the set is neither valid nor not.
        valid = [one for one in load.records if keep or one.key == new or one.ended <= rotated]
        failed = [one for one in valid if one.status != 200]
        of_new, fetches = sum(one.key == new for one in valid), site.fetches() - before
        what = "a key beside the old one" if keep else "a key in place of all others"
        text = f"{what}: {len(failed)} of {len(valid)} requests with valid tokens failed, {of_new}"
        text += f" by the new key, {fetches} fetches, the slowest {load.slowest():.0f} ms"
        site.expect(not failed and 50 < of_new < len(valid) - 50 and fetches == 1, text)
        for one in failed[:5]:
            print(f"      {one.began - rotated:+.3f} s after the rotation, key {one.key}: {one}")
    old = [site.get("/signed", token).status for token in batches[0] + batches[1]]
    right = old.count(401)
    site.expect(right == len(old), f"{right} of {len(old)} tokens of the keys before are refused")


def down(site):
    """A key set that cannot be had: what is known goes on being used. The proxy asks again by itself
    every 10 s, so who names an unknown key may find that somebody has just asked."""
    issuer, valid = site.issuer, site.issuer.sign()
    site.wants("a valid token", "/signed", valid, 200)
    ways = {
        "answers 500": lambda: issuer.mode(JWKS, "error"),
        "hangs up": lambda: issuer.mode(JWKS, "hang up"),
        "does not answer": lambda: issuer.mode(JWKS, "silent"),
        "is not there": lambda: issuer.tell("stop"),
    }
    for way, break_it in ways.items():
        break_it()
        with Load(site, [lambda: (0, valid), lambda: (0, issuer.sign())]) as load:
            stranger = issuer.sign(by="stranger", header={"kid": str(uuid.uuid4())})
            site.wants(f"the issuer {way}: an unknown kid", "/signed", stranger, 401, INVALID)
            time.sleep(0.5)
        bad, count = len(load.failures()), len(load.records)
        text = f"{bad} of {count} requests failed with known and new tokens of a known key"
        text += f", the slowest {load.slowest():.0f} ms"
        site.expect(not bad and count > 50, text)
    back = time.monotonic()
    issuer.mode(JWKS, "well")
    issuer.tell("start")
    issuer.tell("rotate", keep=0)
    token = issuer.token()
    served = world.eventually(lambda: site.get("/signed", token).status == 200, BETWEEN + 2)
    took = time.monotonic() - back
    site.expect(served, f"back, with another key: its token is served after {took:.1f} s")
    site.wants("one of the key that is gone", "/signed", issuer.sign(by="gone"), 401, INVALID)


def cold(site):
    """The issuer is not there when the proxy starts; see `prepare`."""
    issuer = site.issuer
    token = issuer.sign()
    for what in ("no key set yet", "no key set yet, again"):
        site.wants(what, "/signed", token, 503, "auth_unavailable")
    back = time.monotonic()
    issuer.tell("start")
    served = world.eventually(lambda: site.get("/signed", token).status == 200, BETWEEN + 2)
    took = time.monotonic() - back
    site.expect(served, f"the issuer is there: the token is served after {took:.1f} s")


def introspection(site):
    """Opaque tokens, about which the proxy asks."""
    issuer, ask = site.issuer, lambda: len(site.issuer.asked(INTROSPECTION))
    token = issuer.token(resource=OPAQUE)
    before, began = ask(), time.monotonic()
    answer = site.wants("an active token", "/asked", token, 200)
    site.expect(answer.fields("x-user") == ["alice"], f"X-User is {answer.fields('x-user')}")
    answer = site.get("/asked", token, ("X-User", "admin"), ("x_user", "admin"))
    got = answer.fields("x-user")
    site.expect(got == ["alice"], f"beside a client's own, it is {got}: {answer}")
    statuses = [site.get("/asked", token).status for _ in range(50)]
    asked, took = ask() - before, time.monotonic() - began
    text = f"{statuses.count(200)} of 50 more, {asked} questions in {took:.2f} s"
    site.expect(statuses.count(200) == 50 and 1 <= asked <= 1 + int(took), text)
    lacking = 'error="insufficient_scope", scope="write"'
    site.wants("scope read where write is needed", "/asked/write", token, 403, lacking)
    made_up = uuid.uuid4().hex
    before = ask()
    for what in ("an unknown token", "the same again"):
        site.wants(what, "/asked", made_up, 401, INVALID)
    print(f"      {ask() - before} questions about it")
    signed = site.get("/asked", issuer.token())
    site.expect(signed.status in (401, 503), f"a signed one, which this issuer refuses: {signed}")
    site.wants("the proxy's secret is wrong", "/misfit", token, 503, "auth_unavailable")

    def by_new_connections():
        return {Client(site.proxy.port).get("/asked", token).status for _ in range(20)}

    # All workers know it then.
    before = by_new_connections() | {site.get("/asked", token).status}
    site.expect(before == {200}, f"before it is revoked, by 20 connections: {before}")
    issuer.post("/token/revocation", token=token)
    revoked = time.monotonic()
    refused = world.eventually(lambda: site.get("/asked", token).status == 401, 5, step=0.02)
    took = time.monotonic() - revoked
    site.expect(refused and took < 1 + SLACK, f"revoked: refused after {took:.2f} s")
    time.sleep(SLACK)
    after = by_new_connections()
    site.expect(after == {401}, f"and by 20 new connections: {after}")


def unanswered(site):
    """The introspection endpoint does not do what it should."""
    issuer = site.issuer
    known = issuer.token(resource=OPAQUE)
    site.wants("an active token", "/asked", known, 200)
    ways = {
        "answers 500": lambda: issuer.mode(INTROSPECTION, "error"),
        "hangs up": lambda: issuer.mode(INTROSPECTION, "hang up"),
        "does not answer": lambda: issuer.mode(INTROSPECTION, "silent"),
        "is not there": lambda: issuer.tell("stop"),
    }
    issuer.mode(INTROSPECTION, "error")
    site.wants("it again, from the cache", "/asked", known, 200)
    for way, break_it in ways.items():
        token = issuer.token(resource=OPAQUE)
        break_it()
        answer = site.get("/asked", token)
        right = (answer.status, answer.why) == (503, "auth_unavailable")
        site.expect(right and answer.took < TIMEOUT + SLACK, f"the issuer {way}: {answer}")
    time.sleep(1 + SLACK)
    site.wants("one that was known more than 1 s ago", "/asked", known, 503, "auth_unavailable")
    issuer.mode(INTROSPECTION, "well")
    issuer.tell("start")
    site.wants("it is there again", "/asked", issuer.token(resource=OPAQUE), 200)
    site.wants("and the token of before", "/asked", token, 200)


SCENARIOS = {
    "tokens": tokens,
    "rights": rights,
    "unknown": unknown,
    "rotation": rotation,
    "down": down,
    "cold": cold,
    "introspection": introspection,
    "unanswered": unanswered,
}
INTROSPECTED = ("introspection", "unanswered")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--proxy", metavar="PATH", help="the program, target/release/proxy")
    parser.add_argument("scenarios", metavar="SCENARIO", nargs="*", help=", ".join(SCENARIOS))
    given = parser.parse_args()
    if wrong := set(given.scenarios) - set(SCENARIOS):
        parser.error(f"no such scenario: {wrong}; there are: " + ", ".join(SCENARIOS))
    world.end_on_signals()
    # Built before anything waits for it.
    os.environ["PROXY"] = given.proxy or world.program()
    verdict, origin = world.Verdict(), Origin(("127.0.0.1", 0), Handler)
    threading.Thread(target=origin.serve_forever, daemon=True).start()
    with Issuer() as issuer:
        for name in given.scenarios or SCENARIOS:
            print(f"== {name}", flush=True)
            if name == "cold":
                issuer.tell("stop")
            config = ASKED if name in INTROSPECTED else SIGNED
            with Site(name, config, issuer, origin, verdict) as site:
                try:
                    SCENARIOS[name](site)
                except (OSError, http.client.HTTPException) as error:
                    site.expect(False, f"{type(error).__name__}: {error}")
                site.finish()
    verdict.exit()


if __name__ == "__main__":
    main()
