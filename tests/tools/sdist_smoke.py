"""Build a wheel from the sdist of a folder without a network, and try it, as `make sdist` does.

It is what a distribution's packager does: unpack the sdist, vendor the crates of its Cargo.lock,
then build with nothing but them, a Rust toolchain and maturin. Where the system allows it, the
build runs in a network namespace of its own, which has no network at all.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import tempfile
import time
import venv
from pathlib import Path

import wheel_smoke

NO_NETWORK = ("unshare", "--net", "--map-root-user")


def main(folder: str) -> None:
    """Build from the sdist of the folder and try the wheel."""
    sdists = sorted(Path(folder).glob("*.tar.gz"))
    if len(sdists) != 1:
        raise SystemExit(f"{folder} has {len(sdists)} sdists, where one is needed")
    with tempfile.TemporaryDirectory() as name:
        where = Path(name)
        with tarfile.open(sdists[0]) as archive:
            archive.extractall(where / "unpacked", filter="data")
        (source,) = (where / "unpacked").iterdir()
        vendor(source)
        build(source, where / "built", where)
        wheel_smoke.main(str(where / "built"))


def vendor(source: Path) -> None:
    """Download the locked crates into the source, and say in it that cargo reads them there."""
    # With --quiet it would not print the configuration, either.
    command = ["cargo", "vendor", "--locked", "vendor"]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"cargo vendor failed:\n{done.stderr}")
    config = source / ".cargo" / "config.toml"
    config.parent.mkdir()
    config.write_text(done.stdout)


def build(source: Path, target: Path, where: Path) -> None:
    """Build a wheel of the source into the target, with an empty cargo home and no network."""
    venv.create(where / "environment", with_pip=True)
    python = str(where / "environment" / "bin" / "python")
    pip = [python, "-m", "pip"]
    subprocess.run([*pip, "install", "--quiet", "maturin>=1.9.4,<2"], check=True)
    command = [*pip, "wheel", "--quiet", "--no-index", "--no-build-isolation", "--no-deps"]
    command += ["--wheel-dir", str(target), str(source)]
    isolated = has_namespaces()
    if isolated:
        command = [*NO_NETWORK, *command]
    scripts = str(where / "environment" / "bin")
    offline = {
        **os.environ,
        "CARGO_HOME": str(where / "cargo"),
        "CARGO_NET_OFFLINE": "true",
        "PATH": os.pathsep.join([scripts, os.environ["PATH"]]),
    }
    offline.pop("CARGO_TARGET_DIR", None)
    began = time.perf_counter()
    subprocess.run(command, check=True, env=offline)
    how = "in a namespace without a network" if isolated else "with cargo and pip offline"
    print(f"{source.name}: a wheel was built {how} in {time.perf_counter() - began:.0f} s")


def has_namespaces() -> bool:
    """Whether this system gives a command a network namespace of its own."""
    try:
        done = subprocess.run([*NO_NETWORK, "true"], check=False, stderr=subprocess.DEVNULL)
    except FileNotFoundError:
        return False
    return done.returncode == 0


if __name__ == "__main__":
    main(sys.argv[1])
