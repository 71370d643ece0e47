# SPDX-License-Identifier: BSD-3-Clause
"""Where things are: the cache that outlives clones, and the state folder of the running cluster."""

import os
from pathlib import Path

KUBERNETES = "1.34.4"
COREDNS = "1.15.0"
HELM = "3.22.0"

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "jupyter-jsc" / "kubernetes" / KUBERNETES
BIN = CACHE / "bin"
IMAGES = CACHE / "images"

STATE = Path(os.environ.get("JSC_KUBERNETES_STATE", "/var/tmp/jupyter-jsc-kubernetes"))
"""Everything of the running cluster lies here; ``down`` removes it."""

KUBECONFIG = STATE / "kubeconfig"
AUDIT = STATE / "logs" / "audit.log"
