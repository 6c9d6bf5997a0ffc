"""An application of Ray Serve on a cluster of this machine, until standard input ends.

Prints the address of the application once it answers. Then each line that is written to it, JSON of
the arguments of `fill_mask`, is asked by a handle, and its answer is printed as JSON.
"""

from __future__ import annotations

import contextlib
import json
import socket
import sys

import ray
from ray import serve
from ray.cluster_utils import Cluster

from mlmfast.serving.ray import app

PORTS = ("metrics_agent_port", "metrics_export_port", "runtime_env_agent_port")


def main(name: str, *arguments: str) -> None:
    port, *ports = free_ports(1 + len(PORTS))
    cluster = Cluster(
        initialize_head=True,
        head_node_args={
            "num_cpus": 2,
            "object_store_memory": 80 << 20,
            "include_dashboard": False,
            # Ray gives a process that chooses its port 15 seconds: too few on a busy machine.
            **dict(zip(PORTS, ports, strict=True)),
        },
    )
    ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
    serve.start(http_options={"host": "127.0.0.1", "port": port})
    # As `serve run` reads its command line.
    given = dict(argument.split("=", 1) for argument in arguments)
    handle = serve.run(app(given), name=name)
    print(f"url http://127.0.0.1:{port}", flush=True)
    for line in sys.stdin:
        try:
            answer = handle.fill_mask.remote(**json.loads(line)).result()
        except ray.exceptions.RayTaskError as error:
            answer = {"error": type(error.cause).__name__, "said": str(error.cause)}
        print(json.dumps(answer), flush=True)
    serve.shutdown()
    ray.shutdown()
    cluster.shutdown()


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as held:
        bound = [held.enter_context(socket.socket()) for _ in range(count)]
        for one in bound:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in bound]


if __name__ == "__main__":
    main(*sys.argv[1:])
