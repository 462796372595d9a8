"""A cluster of three nodes on this machine."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

# Read when Ray is imported: its processes start slowly beside other tests.
os.environ.setdefault("RAY_worker_register_timeout_seconds", "300")
os.environ.setdefault("RAY_agent_register_timeout_ms", "300000")
ray = pytest.importorskip("ray", reason="Ray is not installed; pip install 'occlusion-search[ray]'")
pytest.importorskip("ray.cluster_utils")

_PORTS = ("metrics_agent_port", "metrics_export_port", "dashboard_agent_listen_port", "runtime_env_agent_port")


def node_arguments() -> dict[str, Any]:
    """The arguments of a node with one processor.

    The ports of its agents are chosen here: a node ends if they have not chosen theirs after 15 seconds.
    """
    sockets = [socket.socket() for _ in _PORTS]
    for each in sockets:
        each.bind(("", 0))
    ports = {name: each.getsockname()[1] for name, each in zip(_PORTS, sockets, strict=True)}
    for each in sockets:
        each.close()
    return {"num_cpus": 1, "object_store_memory": 100 * 2**20, **ports}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A running cluster; its nodes find the modules of this folder."""
    from ray.cluster_utils import Cluster

    paths = [str(Path(__file__).parent), str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]
    before = dict(os.environ)
    os.environ["PYTHONPATH"] = os.pathsep.join(paths)
    sys.path.insert(0, paths[0])
    found = Cluster(initialize_head=True, head_node_args={**node_arguments(), "include_dashboard": False})
    for _ in range(2):
        found.add_node(**node_arguments())
    found.wait_for_nodes()
    try:
        yield found
    finally:
        ray.shutdown()
        found.shutdown()
        sys.path.remove(paths[0])
        os.environ.clear()
        os.environ.update(before)


@pytest.fixture
def add_node(cluster: Any) -> Callable[[], Any]:
    """Adds a node to the cluster, and waits for it."""

    def add() -> Any:
        node = cluster.add_node(**node_arguments())
        cluster.wait_for_nodes()
        return node

    return add
