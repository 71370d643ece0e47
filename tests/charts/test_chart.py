# SPDX-License-Identifier: BSD-3-Clause
"""The rendered chart: it lints, refuses mistakes in sentences, grants what the driver needs, and fits K8sMgr's settings."""

import shutil
from pathlib import Path

import pytest
import yaml

from jupyter_jsc.config import load, settings
from jupyter_jsc.config.current import Current
from jupyter_jsc.sites.kubernetes.rights import NEEDED
from tests.charts.helm import CHART, COMBINATIONS, HELM, NAMESPACE, needed, one, pods, rendered, run, template
from tests.config import small

pytestmark = needed
GIT, FILES, TWO = (CHART / "ci" / f"{name}.yaml" for name in ("git-ingress", "files-loadbalancer", "two-hubs"))
OBJECTS = {path: rendered(path) for path in COMBINATIONS} if HELM else {}


@pytest.mark.parametrize("path", COMBINATIONS, ids=lambda path: path.stem)
def test_chart_lints(path: Path) -> None:
    """Strictly, with every combination of values."""
    done = run("lint", "--strict", str(CHART), "--values", str(path))
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("labz.namespace=x", "labz"),
        ("labs.namspace=x", "namspace"),
        ("manager.replicas=none", "replicas"),
        ("labs.namespace=User_Labs", "namespace"),
        ("labs.podSecurity=loose", "podSecurity"),
        ("hubs.jsc.forwardPort=80", "forwardPort"),
        ("hubs.jsc.sshKeys[0]=ssh-dss AAAA", "sshKeys"),
        ("labs.egress[0].to=everywhere", "labs/egress/0/to"),
        ("images.ssh=-x", "ssh"),
    ],
)
def test_schema_refuses_what_it_does_not_know(setting: str, said: str) -> None:
    """A typo ends the installation and is named, with the place where it stands."""
    done = template(GIT, setting)
    assert done.returncode != 0
    assert said in done.stderr
    assert "goroutine" not in done.stderr


@pytest.mark.parametrize(
    ("path", "change", "said"),
    [
        (None, (), "hubs is empty: name the portal"),
        (TWO, ("hubs.jsc.forwardPort=8082",), "8082 is that of hub JSC_test.2 already"),
        (GIT, ("hubs.jsc.forwardPort=2222",), "the SSH service itself listens at 2222"),
        (GIT, ("configuration.files.a\\.yaml=x",), "give git.repository or files, not both"),
        (GIT, ("configuration.git.repository=",), "give git.repository (the portal's configuration) or files"),
        (GIT, ("configuration.git.secret=",), "access by ssh needs the name of the Secret"),
        (GIT, ("configuration.git.repository=https://u:p@git.example.org/c",), "a password has no place in an address"),
        (GIT, ("manager.host=",), "manager.host: expose ingress needs the name"),
        (FILES, ("manager.tlsSecret=",), "manager.tlsSecret: expose loadBalancer needs the Secret"),
        (GIT, (f"labs.namespace={NAMESPACE}",), "labs need a namespace of their own"),
        (GIT, ("cluster.networks=null",), "cluster.networks: labs.egress needs the networks"),
        (GIT, ("labs.egress[0].to=10.244.3.0/24",), "labs.egress[0].to: 10.244.3.0/24 lies within 10.244.0.0/16"),
        (GIT, ("labs.egress[1].to=169.254.169.254/32",), "169.254.169.254/32 lies within 169.254.0.0/16"),
    ],
)
def test_values_that_do_not_fit_together_are_told(path: Path | None, change: tuple[str, ...], said: str) -> None:
    """What no schema can say is said by the chart: which value, and what to do."""
    done = template(path, *change)
    assert done.returncode != 0
    assert said in done.stderr


@pytest.mark.parametrize("path", COMBINATIONS, ids=lambda path: path.stem)
def test_role_grants_what_the_driver_needs(path: Path) -> None:
    """Neither less nor more, only in the namespace of the labs, and nothing in the whole cluster."""
    objects = OBJECTS[path]
    role = one(objects, "Role", "k8smgr")
    granted = {resource: sorted(rule["verbs"]) for rule in role["rules"] for resource in rule["resources"]}
    assert granted == {resource: sorted(verbs) for resource, verbs in NEEDED.items()}
    assert [rule["apiGroups"] for rule in role["rules"]] == [[""]] * len(NEEDED)
    labs = "labs" if path == TWO else "userlabs"
    binding = one(objects, "RoleBinding", "k8smgr")
    assert [role["metadata"]["namespace"], binding["metadata"]["namespace"]] == [labs, labs]
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "k8smgr", "namespace": NAMESPACE}]
    assert [tree for tree in objects if tree["kind"].startswith("ClusterRole")] == []


@pytest.mark.parametrize("path", COMBINATIONS, ids=lambda path: path.stem)
def test_pods_pass_pod_security_restricted(path: Path) -> None:
    """Every container of every pod; and the API's token is where it is used, in K8sMgr's own container."""
    for name, pod in pods(OBJECTS[path]).items():
        spec = pod["spec"]
        assert spec["automountServiceAccountToken"] is False
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["runAsUser"] == 1000
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in [*spec["containers"], *spec.get("initContainers", [])]:
            security = container["securityContext"]
            assert security["allowPrivilegeEscalation"] is False
            assert security["readOnlyRootFilesystem"] is True
            assert security["capabilities"] == {"drop": ["ALL"]}
            assert container["resources"]["limits"]["memory"]
            has_token = "account" in {mount["name"] for mount in container["volumeMounts"]}
            assert has_token == (name == container["name"] == "k8smgr")
        for volume in spec["volumes"]:
            assert set(volume) - {"name"} <= {"configMap", "secret", "emptyDir", "projected"}
            if "secret" in volume:
                assert volume["secret"]["defaultMode"] == 0o400


@pytest.mark.parametrize("path", COMBINATIONS, ids=lambda path: path.stem)
def test_settings_are_what_k8smgr_reads(tmp_path: Path, path: Path) -> None:
    """The rendered file passes the check of K8sMgr's own settings, and every path in it is mounted."""
    objects = OBJECTS[path]
    (tmp_path / "k8smgr.yaml").write_text(one(objects, "ConfigMap", "k8smgr")["data"]["k8smgr.yaml"])
    own = load.load_file(settings.K8sMgrSettings, tmp_path / "k8smgr.yaml")
    values = yaml.safe_load(path.read_text())
    assert set(own.hubs) == set(values["hubs"])
    assert own.kubeconfig is None
    (container,) = pods(objects)["k8smgr"]["spec"]["containers"]
    mounts = [mount["mountPath"] for mount in container["volumeMounts"]]
    files = [own.callers_file, own.configuration, *(hub.token_file for hub in own.hubs.values())]
    files += [file for file in (own.certificate_file, own.key_file) if file]
    assert [file for file in files if not any(str(file).startswith(f"{mount}/") for mount in mounts)] == []
    assert own.port == container["ports"][0]["containerPort"]


def test_hub_is_reached_by_its_own_way() -> None:
    """By the JHub forward unless another address is given; each hub has its port."""
    own = yaml.safe_load(one(OBJECTS[TWO], "ConfigMap", "k8smgr")["data"]["k8smgr.yaml"])
    assert {name: hub["api_url"] for name, hub in own["hubs"].items()} == {
        "jsc": "http://jhub.k8smgr.svc:8081/hub/api",
        "JSC_test.2": "https://test.example.org:8443/hub/api",
    }
    assert {port["port"]: port["targetPort"] for port in one(OBJECTS[TWO], "Service", "jhub")["spec"]["ports"]} == {
        8081: 8081,
        8082: 8082,
    }


def test_key_of_a_hub_may_listen_at_its_port_only() -> None:
    """No hub's TunnelMgr can take the way back of another."""
    (secret,) = [tree for tree in OBJECTS[TWO] if tree["kind"] == "Secret"]
    lines = secret["stringData"]["authorized_keys"].splitlines()
    assert sorted(line.split(" ")[0] for line in lines) == [
        'restrict,port-forwarding,permitlisten="0.0.0.0:8081"',
        'restrict,port-forwarding,permitlisten="0.0.0.0:8082"',
    ]


def test_configuration_of_files_is_read_as_the_kubelet_lays_it(tmp_path: Path) -> None:
    """A ConfigMap's volume is links to a folder that is swapped; K8sMgr reads that folder and follows the swap."""
    done = template(FILES, "configuration.files.portal\\.yaml=HERE")
    objects = [tree for tree in yaml.safe_load_all(done.stdout) if tree]
    assert one(objects, "ConfigMap", "k8smgr-configuration")["data"] == {"portal.yaml": "HERE"}
    own = yaml.safe_load(one(objects, "ConfigMap", "k8smgr")["data"]["k8smgr.yaml"])
    (tmp_path / "..2027_01_01").mkdir()
    (tmp_path / "..2027_01_01" / "portal.yaml").write_text(yaml.safe_dump(small.tree()))
    (tmp_path / "..data").symlink_to("..2027_01_01")
    (tmp_path / "portal.yaml").symlink_to("..data/portal.yaml")
    assert Current(tmp_path / Path(own["configuration"]).name).configuration.hub == "demo"


def test_homes_outlive_the_release() -> None:
    """The namespace of the labs stays when the release is uninstalled, and carries the level of Pod Security."""
    metadata = one(OBJECTS[GIT], "Namespace", "userlabs")["metadata"]
    assert metadata["annotations"] == {"helm.sh/resource-policy": "keep"}
    assert metadata["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    assert [tree for tree in OBJECTS[TWO] if tree["kind"] == "Namespace"] == []


def test_ssh_service_runs_once() -> None:
    """A second sshd would get half of the labs' requests without holding the way back."""
    spec = one(OBJECTS[GIT], "Deployment", "ssh")["spec"]
    assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})


@pytest.mark.parametrize("path", COMBINATIONS, ids=lambda path: path.stem)
def test_services_lead_to_pods(path: Path) -> None:
    """Each selector of a Service, policy or budget fits the pods that it is meant for."""
    labels = {name: pod["metadata"]["labels"].items() for name, pod in pods(OBJECTS[path]).items()}
    for name, wanted in (("k8smgr", "k8smgr"), ("ssh", "ssh"), ("jhub", "ssh")):
        selector = one(OBJECTS[path], "Service", name)["spec"]["selector"].items()
        assert [pod for pod, of in labels.items() if selector <= of] == [wanted]
        if name != "jhub":
            assert one(OBJECTS[path], "Deployment", name)["spec"]["selector"]["matchLabels"].items() == selector


def test_certificate_of_the_repository_is_kept_whole() -> None:
    """A PEM file goes through YAML unchanged."""
    text = yaml.safe_load(TWO.read_text())["configuration"]["git"]["authority"]
    assert one(OBJECTS[TWO], "ConfigMap", "k8smgr")["data"]["git-authority.pem"] == text


def test_no_secret_is_in_what_is_rendered() -> None:
    """Tokens and private keys stay in Secrets that the chart only names."""
    for objects in OBJECTS.values():
        assert [tree["metadata"]["name"] for tree in objects if tree["kind"] == "Secret"] == ["ssh-authorized"]


@pytest.mark.parametrize(
    ("path", "warnings"),
    [(GIT, ["images.k8smgr", "allowFrom"]), (FILES, ["images.k8smgr", "quota"]), (TWO, ["plain HTTP", "podSecurity"])],
)
def test_notes_say_what_is_next_and_warn(tmp_path: Path, path: Path, warnings: list[str]) -> None:
    """After the installation an operator reads what the portal must be told, and what is risky."""
    # Only an installation shows notes, and that asks a cluster; so a copy of the chart has them in an object.
    chart = shutil.copytree(CHART, tmp_path / "k8smgr")
    text = (chart / "templates/NOTES.txt").read_text()
    (chart / "templates/NOTES.txt").unlink()
    (chart / "templates/_notes.tpl").write_text('{{ define "notes" -}}\n' + text + "{{- end }}")
    show = '{{ toJson (dict "kind" "Notes" "metadata" (dict "name" "n") "text" (include "notes" .)) }}'
    (chart / "templates/notes.yaml").write_text(show)
    notes = one(rendered(path, chart=chart), "Notes", "n")["text"]
    for hub in yaml.safe_load(path.read_text())["hubs"]:
        assert f"hub {hub}: hub_forward.listen_port" in notes
    assert [text for text in warnings if text not in notes.partition("WARNING")[2]] == []
