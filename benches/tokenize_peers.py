"""Libraries that P4 measures beside ours and that are no packages of this environment.

Each is installed by pip into a folder of its own, under the folder that MLMFAST_BENCH_PEERS names;
without it they are left out. Only the process that measures one has its folder on its path.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Peer:
    """A library to install.

    Attributes:
        name: As in the report.
        requirement: What pip installs, at one version, so that a run can be repeated.
        alone: Without what it requires, which the environment has.
    """

    name: str
    requirement: str
    alone: bool


PEERS = (
    Peer("tokenizers 0.23.3", "tokenizers==0.23.3", alone=True),
    Peer("tokenizers 1.0.0rc3", "tokenizers==1.0.0rc3", alone=True),
    Peer("gigatoken 0.10.0", "gigatoken==0.10.0", alone=False),
    Peer("nanotoken 0.1.0", "nanotoken==0.1.0", alone=True),
    Peer("snaptokens 0.2.6", "snaptokens==0.2.6", alone=True),
    Peer("morpheme 0.5.0", "morpheme==0.5.0", alone=True),
    Peer("toktier 0.3.0", "toktier==0.3.0", alone=True),
)


def installed() -> tuple[dict[str, Path], list[str]]:
    """Peer -> its folder, installed where it was not yet; and why others are left out."""
    root = os.environ.get("MLMFAST_BENCH_PEERS")
    if not root:
        names = ", ".join(peer.name for peer in PEERS)
        return {}, [f"Left out, since MLMFAST_BENCH_PEERS names no folder for them: {names}."]
    folders, missing = {}, []
    for peer in PEERS:
        folder = Path(root).absolute() / peer.requirement
        problem = None if (folder / "done").exists() else _install(peer, folder)
        if problem is None:
            folders[peer.name] = folder
        else:
            missing.append(f"{peer.name} could not be installed: {problem}.")
    return folders, missing


def _install(peer: Peer, folder: Path) -> str | None:
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    command += ["--only-binary", ":all:", "--upgrade", "--target", str(folder), peer.requirement]
    command += ["--no-deps"] if peer.alone else []
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        return (done.stderr.strip().splitlines() or ["pip failed"])[-1]
    (folder / "done").touch()
    return None
