# SPDX-License-Identifier: BSD-3-Clause
"""An authority of the cluster's own, the API server's certificates, and the tokens of everybody else."""

import secrets
from pathlib import Path

from tools.kubernetes.machine import run
from tools.kubernetes.network import address
from tools.kubernetes.places import STATE

FOLDER = STATE / "keys"
SERVER = f"https://{address('node1')}:6443"
_DAYS = "30"


def write(nodes: list[str]) -> None:
    """Leave all keys and certificates in the folder, and a kubeconfig for each component."""
    FOLDER.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not (FOLDER / "ca.crt").exists():
        _authority()
        names = f"IP:{address('node1')},IP:127.0.0.1,IP:10.96.0.1,DNS:localhost,DNS:kubernetes.default.svc"
        _certificate("apiserver", "/CN=kube-apiserver", f"subjectAltName={names}")
        # Without a client certificate the kubelet answers the API server 401 when it asks for logs.
        _certificate("apiserver-to-kubelet", "/O=system:masters/CN=kube-apiserver", "extendedKeyUsage=clientAuth")
        run("openssl", "genrsa", "-out", str(FOLDER / "accounts.key"), "2048")
        run("openssl", "rsa", "-in", str(FOLDER / "accounts.key"), "-pubout", "-out", str(FOLDER / "accounts.pub"))
    if not (FOLDER / "tokens.csv").exists():
        users = [*_COMPONENTS, *(f"system:node:{node}" for node in nodes)]
        lines = [f'{secrets.token_hex(16)},{user},{user},"{_GROUPS.get(user, _NODES)}"\n' for user in users]
        (FOLDER / "tokens.csv").write_text("".join(lines))
    for line in (FOLDER / "tokens.csv").read_text().splitlines():
        token, user, *_ = line.split(",")
        kubeconfig(user).write_text(_KUBECONFIG.format(server=SERVER, ca=FOLDER / "ca.crt", user=user, token=token))
        kubeconfig(user).chmod(0o600)


_COMPONENTS = ("admin", "system:kube-controller-manager", "system:kube-scheduler", "system:kube-proxy")
_NODES = "system:nodes"
_GROUPS = {"admin": "system:masters"} | dict.fromkeys(_COMPONENTS[1:], "system:components")


def kubeconfig(user: str) -> Path:
    """Where the kubeconfig of *user* lies."""
    return FOLDER / f"{user.removeprefix('system:').replace(':', '-')}.kubeconfig"


def _authority() -> None:
    run(
        *(
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            _DAYS,
            "-subj",
            "/CN=jupyter-jsc cluster",
        ),
        *("-keyout", str(FOLDER / "ca.key"), "-out", str(FOLDER / "ca.crt")),
    )


def _certificate(name: str, subject: str, extension: str) -> None:
    key, request, extensions = FOLDER / f"{name}.key", FOLDER / f"{name}.csr", FOLDER / f"{name}.ext"
    extensions.write_text(extension)
    run(
        *("openssl", "req", "-newkey", "rsa:2048", "-nodes", "-subj", subject),
        *("-keyout", str(key), "-out", str(request)),
    )
    run(
        *("openssl", "x509", "-req", "-days", _DAYS, "-in", str(request), "-extfile", str(extensions)),
        *("-CA", str(FOLDER / "ca.crt"), "-CAkey", str(FOLDER / "ca.key"), "-CAcreateserial"),
        *("-out", str(FOLDER / f"{name}.crt")),
    )


_KUBECONFIG = """\
apiVersion: v1
kind: Config
clusters: [{{name: local, cluster: {{server: "{server}", certificate-authority: "{ca}"}}}}]
users: [{{name: "{user}", user: {{token: "{token}"}}}}]
contexts: [{{name: local, context: {{cluster: local, user: "{user}"}}}}]
current-context: local
"""
