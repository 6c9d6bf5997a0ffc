"""A Ray cluster of two nodes on this machine, until standard input ends; prints its address.

In a process of its own, since Ray ends a process that held a cluster some time after the cluster.
"""

from __future__ import annotations

import socket
import sys
from typing import Any

from ray.cluster_utils import Cluster

from own_output import claim_standard_output


def begin() -> Cluster:
    """Two nodes of one CPU each, the first the head."""
    # A node dies where an agent takes more than 15 seconds to say its port. Without the packages
    # of Ray's dashboard, which it finds by this module, an agent has a third less to load before.
    sys.modules["ray.dashboard.optional_deps"] = None  # type: ignore[assignment]
    head = {**node(), "include_dashboard": False, "no_monitor": True}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    add_node(cluster)
    return cluster


def add_node(cluster: Cluster) -> None:
    """Add a node, again where it did not begin in the 30 seconds that Ray gives it."""
    for left in reversed(range(5)):
        try:
            cluster.add_node(**node())
        except Exception:  # (Ray raises nothing narrower)
            if not left:
                raise
        else:
            return


def node() -> dict[str, Any]:
    """Options of one node: little memory, and no process that is of no use here."""
    return {
        "num_cpus": 1,
        "object_store_memory": 80 << 20,
        "include_log_monitor": False,
        "runtime_env_agent_port": free_port(),
        # Otherwise that of the head is the same for every cluster of a machine.
        "dashboard_agent_listen_port": free_port(),
    }


def free_port() -> int:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port: int = bound.getsockname()[1]
        return port


def main() -> None:
    output = claim_standard_output()
    cluster = begin()
    print(f"address {cluster.address}", file=output)
    sys.stdin.read()
    cluster.shutdown()


if __name__ == "__main__":
    main()
