"""The texts that docs/adapt.md begins with: a folder of them, and some of them with labels.

They are sentences of film reviews with the mean of twenty people's ratings from -4 to 4, by C.J.
Hutto and E. Gilbert (VADER, ICWSM 2014). The source package of vaderSentiment on PyPI (MIT licence)
holds them; nothing of it is kept in this repository.
"""

from __future__ import annotations

import argparse
import csv
import io
import random
import subprocess
import sys
import tarfile
from pathlib import Path

PACKAGE = "vaderSentiment==3.3.2"
_INNER = "additional_resources/hutto_ICWSM_2014.tar.gz"
_RATINGS = "hutto_ICWSM_2014/movieReviewSnippets_GroundTruth.txt"
_TEST, _TRAIN = 2000, 1500
_TEXTS_PER_FILE = 200


def rated_sentences(cache: Path) -> list[tuple[float, str]]:
    """Download the package unless it is there; return its (rating, sentence) pairs."""
    cache.mkdir(parents=True, exist_ok=True)
    if not list(cache.glob("*.tar.gz")):
        subprocess.run(
            [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check",
             "--no-deps", "--no-binary", ":all:", "--dest", cache, PACKAGE],
            check=True,
        )  # fmt: skip
    [package] = cache.glob("*.tar.gz")
    with tarfile.open(package) as outer:
        [inner] = [name for name in outer.getnames() if name.endswith(_INNER)]
        content = outer.extractfile(inner).read()
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        lines = archive.extractfile(_RATINGS).read().decode("latin-1").splitlines()
    rows = [line.split("\t", 2) for line in lines if line.strip()]
    return [(float(rating), " ".join(text.split())) for _, rating, text in rows]


def write_adapt_data(folder: Path, cache: Path) -> None:
    """Write `texts/*.txt`, one sentence a line, `train.csv` and `test.csv`.

    The test's sentences are in no other file; those of `train.csv` are in the folder as well.
    """
    rated = list(dict.fromkeys(rated_sentences(cache)))
    random.Random(0).shuffle(rated)
    labelled = [
        {"text": text, "label": "positive" if rating > 0 else "negative"}
        for rating, text in rated
        if rating
    ]
    test, train = labelled[:_TEST], labelled[_TEST : _TEST + _TRAIN]
    for name, rows in (("train.csv", train), ("test.csv", test)):
        with (folder / name).open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, ["text", "label"])
            writer.writeheader()
            writer.writerows(rows)
    kept = {row["text"] for row in test}
    texts = [text for _, text in rated if text not in kept]
    (folder / "texts").mkdir()
    for first in range(0, len(texts), _TEXTS_PER_FILE):
        lines = texts[first : first + _TEXTS_PER_FILE]
        path = folder / "texts" / f"{first // _TEXTS_PER_FILE:03}.txt"
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--cache", type=Path, default=Path(".cache/adapt"))
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    write_adapt_data(arguments.folder, arguments.cache)
