"""An S3 server on this machine, moto's, behind a proxy that can cut connections."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import cache
from typing import Any

import pytest

from cutting_proxy import CuttingProxy

BUCKET = "corpora"


@dataclass
class S3:
    """A running server with an empty bucket; `url` reaches it through the proxy."""

    port: int
    client: Any
    proxy: CuttingProxy
    url: str = f"s3://{BUCKET}"

    def put(self, key: str, content: bytes) -> str:
        """Write an object; return its URL."""
        self.client.put_object(Bucket=BUCKET, Key=key, Body=content)
        return f"{self.url}/{key}"

    def objects(self) -> list[str]:
        """Return the keys of all objects."""
        found = self.client.list_objects_v2(Bucket=BUCKET).get("Contents", [])
        return [each["Key"] for each in found]


def set_environment(patch: pytest.MonkeyPatch, port: int) -> None:
    """Let the client libraries reach the server at a port, and nothing else."""
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_MAX_ATTEMPTS": "1",
    }.items():
        patch.setenv(name, value)


@pytest.fixture(scope="module")
def s3_server():
    """The server, for the tests of a module."""
    s3fs = pytest.importorskip("s3fs", reason="needs s3fs: pip install s3fs")
    pytest.importorskip("moto.server", reason="needs moto: pip install 'moto[s3]' flask flask-cors")
    with pytest.MonkeyPatch.context() as patch:
        server = _start()
        set_environment(patch, server.proxy.port)
        # The libraries' own retries would hide ours.
        patch.setattr(s3fs.S3FileSystem, "retries", 1)
        s3fs.S3FileSystem.clear_instance_cache()
        yield server
    s3fs.S3FileSystem.clear_instance_cache()


@cache
def _start() -> S3:
    """Start the server of this process, which takes seconds; its threads end with the process."""
    import boto3
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    port = server.get_host_and_port()[1]
    client = boto3.client(
        "s3",
        endpoint_url=f"http://127.0.0.1:{port}",
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
    client.create_bucket(Bucket=BUCKET)
    return S3(port, client, CuttingProxy(port))


@pytest.fixture
def s3(s3_server, monkeypatch):
    """The server with an empty bucket, and no pauses between tries."""
    monkeypatch.setattr("mlmfast.fs.remote.faults.FIRST_PAUSE", 0.0)
    yield s3_server
    s3_server.proxy.mend()
    for key in s3_server.objects():
        s3_server.client.delete_object(Bucket=BUCKET, Key=key)
