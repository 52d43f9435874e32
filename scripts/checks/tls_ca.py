"""A throw-away certificate authority, by the program openssl."""

import pathlib
import subprocess

KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]


def openssl(*words):
    done = subprocess.run(["openssl", *map(str, words)], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"openssl {words[0]}: {done.stderr}")
    return done.stdout


class Authority:
    """Its certificate is in `pem`. All files are in `folder`."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.pem, self.key = self.folder / "ca.pem", self.folder / "ca.key"
        named = ["-subj", "/CN=checks CA", "-addext", "keyUsage=critical,keyCertSign,cRLSign"]
        openssl("req", "-x509", *KEY, "-days", 100, *named, "-keyout", self.key, "-out", self.pem)

    def issue(self, name, hosts, extra=()):
        """The files NAME.pem and NAME.key, of a certificate for these hosts and addresses."""
        cert, key, request, rest = (
            self.folder / f"{name}.{end}" for end in ("pem", "key", "csr", "ext")
        )
        kinds = ["IP" if one[0].isdigit() else "DNS" for one in hosts]
        names = ",".join(f"{kind}:{one}" for kind, one in zip(kinds, hosts))
        lines = [f"subjectAltName={names}", "basicConstraints=CA:FALSE", *extra]
        lines += ["keyUsage=critical,digitalSignature", "extendedKeyUsage=serverAuth"]
        rest.write_text("\n".join(lines) + "\n")
        openssl("req", "-new", *KEY, "-subj", f"/CN={hosts[0]}", "-keyout", key, "-out", request)
        signed = ["-CA", self.pem, "-CAkey", self.key, "-CAcreateserial", "-days", 90]
        openssl("x509", "-req", "-in", request, *signed, "-extfile", rest, "-out", cert)
        return cert, key


def listener(cert, key):
    """What makes a listener of the configuration one with this certificate."""
    return f'[listeners.tls]\ncertificates = [{{ cert = "{cert}", key = "{key}" }}]\n'


def serial(cert):
    return openssl("x509", "-in", cert, "-noout", "-serial").strip().partition("=")[2]
