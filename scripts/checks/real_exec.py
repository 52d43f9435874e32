"""Commands far away, through the proxy: docker's client with podman behind, and kubectl with a
stand-in for its API server. Their connections become tunnels, one of them after a body.
"""

import os
import pathlib
import random
import subprocess
import tempfile
import time

import kube_standin
import real_world
import world

# Text of a megabyte, which comes back.
TEXT = random.Random(14).randbytes(1 << 19).hex()
# A mount of cgroups beside those of version 1 is more than podman's runtime takes; in a mount
# namespace of its own it can be gone. With the process namespace ends all that was started in it.
ALONE = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
BUSYBOX = "/bin/busybox"


def check_docker(site):
    needed = [("docker", "docker.io"), ("podman", "podman crun"), (BUSYBOX, "busybox-static")]
    if not all([site.has(name, f"apt-get install {package}") for name, package in needed]):
        return
    with tempfile.TemporaryDirectory(prefix="podman") as folder:
        socket, said = folder + "/api.sock", pathlib.Path(folder, "said")
        words = [*ALONE, "sh", "-ec", podman_script(folder)]
        with said.open("w") as file, real_world.running(*words, stdout=file, stderr=file):
            started = world.eventually(lambda: os.path.exists(socket), 60)
            seen = "" if started else said.read_text()[-400:]
            site.expect(started, f"podman: has a container and serves {seen}")
            for tls in (False, True) if started else ():
                with site.before("unix:" + socket, tls=tls) as proxy:
                    ask_docker(site, proxy, tls)
    docker_version = site.run("docker", "--version").stdout.strip()
    print(f"      {docker_version}, {site.run('podman', '--version').stdout.strip()}")


def podman_script(folder):
    """Makes an image of busybox alone and a container of it that sleeps, and serves the API."""
    podman = f"podman --root {folder}/root --runroot {folder}/run --storage-driver vfs"
    podman += f" --tmpdir {folder}/tmp --cgroup-manager cgroupfs --events-backend file"
    podman += " --runtime crun"
    bounds = "--cgroups disabled --ulimit nofile=1024:1024 --ulimit nproc=1000:1000"
    return f"""
umount /sys/fs/cgroup/unified 2>/dev/null || true
mkdir -p {folder}/image/bin
cp {BUSYBOX} {folder}/image/bin
tar -C {folder}/image -cf {folder}/image.tar .
{podman} import {folder}/image.tar box
{podman} run -d --name web --network none {bounds} box /bin/busybox sleep 600
{podman} system service -t 0 unix://{folder}/api.sock
"""


def ask_docker(site, proxy, tls):
    name = f"docker over {'TLS' if tls else 'TCP'}"
    host = f"tcp://{real_world.HOST}:{proxy.port}"
    more = ["--tlsverify", "--tlscacert", site.ca] if tls else []
    docker = ["env", "DOCKER_HOST=", "DOCKER_TLS_VERIFY=", "docker", "-H", host, *more]
    listed = site.run(*docker, "ps", "--format", "{{.Names}}").stdout.strip()
    site.expect(listed == "web", f"{name}: ps lists {listed!r}")
    box = [*docker, "exec", "web", "/bin/busybox"]
    hello = site.run(*box, "echo", "hello")
    site.expect(
        hello.stdout == "hello\n", f"{name}: exec echo: {hello.stdout!r} {hello.stderr[-200:]}"
    )
    fed = [*docker, "exec", "-i", "web", "/bin/busybox"]
    echo = site.run(*fed, "cat", input=TEXT)
    site.expect(
        echo.stdout == TEXT, f"{name}: exec -i cat: {len(echo.stdout)} B {echo.stderr[-200:]}"
    )
    code = site.run(*fed, "sh", "-c", "read a; exit $a", input="7\n").returncode
    site.expect(code == 7, f"{name}: the exit code of a command is {code}")
    tunnels = {
        one: v for one, v in proxy.metrics().items() if one.startswith("proxy_tunnels_total")
    }
    site.expect(sum(tunnels.values()) == 3, f"{name}: {tunnels}")


def check_kubectl(site):
    if not site.has("kubectl", "apt-get install kubernetes-client"):
        return
    origin = kube_standin.Standin()
    for tls in (False, True):
        with site.before(f"http://127.0.0.1:{origin.port}", tls=tls) as proxy:
            ask_kubectl(site, proxy, origin, tls)
    print("     ", site.run("kubectl", "version", "--client").stdout.splitlines()[0])


def ask_kubectl(site, proxy, origin, tls):
    name = f"kubectl over {'TLS' if tls else 'TCP'}"
    server = f"{'https' if tls else 'http'}://{real_world.HOST}:{proxy.port}"
    # Without a token it asks for a password, where there is TLS.
    more = ["--certificate-authority", site.ca, "--token", "of-this-check"] if tls else []
    quiet = os.environ | {"KUBECONFIG": "/dev/null", "HOME": str(site.folder)}
    kubectl = ["kubectl", "--server", server, *more]
    pod = site.run(*kubectl, "get", "pod", "web", "-o", "name", env=quiet)
    site.expect(pod.stdout == "pod/web\n", f"{name}: get: {pod.stdout!r} {pod.stderr[-200:]}")
    follow_log(site, name, kubectl, quiet)
    for websockets, offer in [("true", "GET websocket"), ("false", "POST spdy/3.1")]:
        env = quiet | {"KUBECTL_REMOTE_COMMAND_WEBSOCKETS": websockets}
        origin.spoken.clear()
        hello = site.run(*kubectl, "exec", "web", "--", "hello", env=env)
        holds = hello.stdout.encode() == kube_standin.HELLO and hello.returncode == 0
        site.expect(holds, f"{name}: exec: {hello.stdout!r} {hello.stderr[-200:]}")
        echo = site.run(*kubectl, "exec", "-i", "web", "--", "cat", env=env, input=TEXT)
        holds = echo.stdout == TEXT and echo.returncode == 0
        site.expect(holds, f"{name}: exec -i: {len(echo.stdout)} B {echo.stderr[-200:]}")
        spoken = origin.spoken
        is_old = websockets == "true" and spoken == ["POST spdy/3.1"] * 2
        older = ": this kubectl has no other" if is_old else ""
        site.expect(spoken == [offer] * 2 or is_old, f"{name}: the API server saw {spoken}{older}")


def follow_log(site, name, kubectl, env):
    """The first line must come when it is written and not with the last."""
    words = [*kubectl, "logs", "-f", "web"]
    with real_world.running(*words, env=env, stdout=subprocess.PIPE, stderr=-3) as process:
        first, then = process.stdout.readline(), time.monotonic()
        last = process.stdout.readline()
        between = time.monotonic() - then
    holds = (first, last) == (b"first\n", b"last\n") and between > 1
    site.expect(holds, f"{name}: logs -f: {first!r}, {last!r}, {between:.1f} s apart")
