"""Write rust/LICENSES.txt, the licences of the Rust crates that are compiled into the wheel.

    python tools/crate_licenses.py            # writes it anew, after Cargo.lock has changed
    python tools/crate_licenses.py --check    # fails if it is not what Cargo.lock asks for

The wheel holds the file beside mlmfast's own licence, and a list of the crates (CycloneDX), which
maturin makes. Where a crate offers the MIT license, it is used under that one.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
TARGET = ROOT / "rust" / "LICENSES.txt"
BINDING = "mlmfast-py"
BEGINNINGS = ("LICEN", "COPY", "NOTICE", "UNLICENSE")
HEAD = """\
The compiled core of mlmfast contains these Rust crates. Where a crate offers the MIT license among
others, it is used under the MIT license. `python tools/crate_licenses.py` writes this file.
"""
RULE = "-" * 100


def crates() -> list[dict[str, Any]]:
    """The crates that run inside the extension, on any platform, without our own."""
    command = ["cargo", "metadata", "--locked", "--format-version", "1"]
    command += ["--manifest-path", str(ROOT / "Cargo.toml")]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found = json.loads(done.stdout)
    packages = {each["id"]: each for each in found["packages"]}
    needs = {node["id"]: node["deps"] for node in found["resolve"]["nodes"]}
    waiting = [each["id"] for each in found["packages"] if each["name"] == BINDING]
    seen = set(waiting)
    while waiting:
        for need in needs[waiting.pop()]:
            # Others are for builds and tests alone.
            runs = any(kind["kind"] is None for kind in need["dep_kinds"])
            if runs and need["pkg"] not in seen:
                seen.add(need["pkg"])
                waiting.append(need["pkg"])
    chosen = [packages[each] for each in seen if packages[each]["source"]]
    return sorted(chosen, key=lambda each: (each["name"], each["version"]))


def texts_of(crate: dict[str, Any]) -> list[str]:
    """The texts that its source has: those of the MIT license where it is one of several."""
    folder = Path(crate["manifest_path"]).parent
    names = sorted(
        path.name
        for path in folder.iterdir()
        if path.is_file() and path.name.upper().startswith(BEGINNINGS)
    )
    offered = crate["license"].replace("/", " OR ").replace("(", "").replace(")", "")
    choices = [choice.strip() for choice in offered.split(" AND ")[0].split(" OR ")]
    mine = [name for name in names if "MIT" in name.upper()]
    if "MIT" in choices and mine:
        others = ("APACHE", "BSD", "ZLIB", "BOOST", "UNLICENSE", "COPYING")
        names = [name for name in names if not any(word in name.upper() for word in others)]
    return [(folder / name).read_text(encoding="utf-8", errors="replace").strip() for name in names]


def document() -> str:
    """The whole file: the crates, then each text with the crates that it is of."""
    found = crates()
    users: dict[str, list[str]] = defaultdict(list)
    for crate in found:
        for text in texts_of(crate):
            users["\n".join(line.rstrip() for line in text.splitlines())].append(crate["name"])
    lines = [HEAD]
    lines += [f"{each['name']} {each['version']}: {each['license']}" for each in found]
    for text, names in users.items():
        lines += ["", RULE, f"Of {', '.join(dict.fromkeys(names))}:", "", text]
    return "\n".join([*lines, ""])


def main() -> None:
    """Write the file, or check it."""
    made = document()
    if sys.argv[1:] != ["--check"]:
        TARGET.write_text(made, encoding="utf-8")
    elif not TARGET.exists() or TARGET.read_text(encoding="utf-8") != made:
        raise SystemExit(
            f"{TARGET.relative_to(ROOT)} is not what Cargo.lock asks for: run "
            "`python tools/crate_licenses.py` and commit what it writes"
        )


if __name__ == "__main__":
    main()
