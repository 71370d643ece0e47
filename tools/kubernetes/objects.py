# SPDX-License-Identifier: BSD-3-Clause
"""What a cluster of a provider has besides its nodes: the DNS service, a storage class, volumes, load balancers."""

import time

from tools.kubernetes import api
from tools.kubernetes.control_plane import DNS
from tools.kubernetes.network import address
from tools.kubernetes.places import STATE

VOLUMES = 40
"""Volumes made beforehand; each is a folder of this machine, so it is the same on every node."""

_BALANCERS = "10.200.1"


def apply_all() -> None:
    """Leave the DNS service, the storage class and the volumes in the cluster."""
    _apply_dns()
    api.apply("/apis/storage.k8s.io/v1/storageclasses", _STORAGE_CLASS)
    present = {volume["metadata"]["name"] for volume in api.items("/api/v1/persistentvolumes")}
    for number in range(1, VOLUMES + 1):
        if f"volume-{number}" not in present:
            _make_volume(number)


def balance() -> None:
    """Give every Service of type LoadBalancer an address, for ever: run as a process beside the control plane."""
    while True:
        try:
            balance_once()
        except (OSError, api.Refused) as error:
            print(f"cannot give addresses: {error}", flush=True)
        time.sleep(1)


def balance_once() -> None:
    """Give each Service of type LoadBalancer that has no address the next free one."""
    services = [one for one in api.items("/api/v1/services") if one["spec"]["type"] == "LoadBalancer"]
    used = {ingress["ip"] for one in services for ingress in one["status"]["loadBalancer"].get("ingress", [])}
    for one in services:
        if not one["status"]["loadBalancer"].get("ingress"):
            free = next(ip for number in range(1, 255) if (ip := f"{_BALANCERS}.{number}") not in used)
            used.add(free)
            path = f"/api/v1/namespaces/{one['metadata']['namespace']}/services/{one['metadata']['name']}/status"
            body = {"status": {"loadBalancer": {"ingress": [{"ip": free}]}}}
            api.request("PATCH", path, body, media_type="application/merge-patch+json")


def _apply_dns() -> None:
    ports = [{"name": protocol.lower(), "port": 53, "protocol": protocol} for protocol in ("UDP", "TCP")]
    metadata = {"name": "kube-dns", "namespace": "kube-system"}
    service = {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {"clusterIP": DNS, "ports": ports}}
    api.apply("/api/v1/namespaces/kube-system/services", service)
    endpoints = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": metadata | {"labels": {"kubernetes.io/service-name": "kube-dns"}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [address("node1")], "conditions": {"ready": True}}],
        "ports": ports,
    }
    api.apply("/apis/discovery.k8s.io/v1/namespaces/kube-system/endpointslices", endpoints)


def _make_volume(number: int) -> None:
    """A folder that a container without rights may write to: its group is the usual one of labs."""
    folder = STATE / "volumes" / str(number)
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o777)
    volume = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": f"volume-{number}"},
        "spec": {
            "capacity": {"storage": "1Ti"},
            "accessModes": ["ReadWriteOnce", "ReadWriteMany"],
            "hostPath": {"path": str(folder)},
            "storageClassName": "folders",
            "persistentVolumeReclaimPolicy": "Retain",
        },
    }
    api.apply("/api/v1/persistentvolumes", volume)


_STORAGE_CLASS = {
    "apiVersion": "storage.k8s.io/v1",
    "kind": "StorageClass",
    "metadata": {"name": "folders", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
    "provisioner": "kubernetes.io/no-provisioner",
    "volumeBindingMode": "Immediate",
}
