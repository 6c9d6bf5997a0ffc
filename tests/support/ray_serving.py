"""Ray Serve on a cluster of two nodes of this machine, until standard input ends.

Its first line is `serving`, the cluster's address, the application's, and the folder of Ray's logs.

Then each line that is written to it, JSON, is done and answered by a line `answer JSON`:
`{"ask": [method, {argument: ...}]}` asks the application by a handle;
`{"kill": "node"}` kills the node that is not the head, and `{"add": "node"}` adds one;
`{"start": "serve"}` starts Ray Serve anew.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import ray
from ray import serve
from ray.exceptions import RayTaskError

import ray_nodes
from own_output import claim_standard_output


def main(name: str) -> None:
    output = claim_standard_output()
    cluster = ray_nodes.begin()
    ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
    port = ray_nodes.free_port()
    start_serve(port)
    logs = cluster.head_node.get_logs_dir_path()
    print(f"serving {cluster.address} http://127.0.0.1:{port} {logs}", file=output)
    for line in sys.stdin:
        told: Any = None
        match json.loads(line):
            case {"ask": [method, arguments]}:
                told = ask(name, method, arguments)
            case {"kill": "node"}:
                cluster.remove_node(next(iter(cluster.worker_nodes)), allow_graceful=False)
            case {"add": "node"}:
                ray_nodes.add_node(cluster)
            case {"start": "serve"}:
                start_serve(port)
        print(f"answer {json.dumps(told)}", file=output)
    ray.shutdown()
    cluster.shutdown()


def start_serve(port: int) -> None:
    """Start Ray Serve on that port, however long its proxy takes."""
    while True:
        try:
            serve.start(http_options={"host": "127.0.0.1", "port": port}, proxy_location="HeadOnly")
        except TimeoutError:  # after 60 seconds, and then it finds what it has begun
            continue
        return


def ask(name: str, method: str, arguments: dict[str, Any]) -> Any:
    try:
        return getattr(serve.get_app_handle(name), method).remote(**arguments).result()
    except RayTaskError as error:
        return {"error": type(error.cause).__name__, "said": str(error.cause)}


if __name__ == "__main__":
    main(*sys.argv[1:])
