"""Which block stores there are at a URL: `split_urls`."""

from __future__ import annotations

from mlmfast.data.store.manifest import MANIFEST_FILE
from mlmfast.errors import NotFoundError, StoreError
from mlmfast.fs.remote.listing import look_up
from mlmfast.fs.remote.urls import shown


def split_urls(url: str) -> dict[str, str]:
    """Return the URLs of the stores at a URL by split.

    Raises:
        StoreError: There is no block store.
        InputError: The URL cannot be accessed.
    """
    url = url.rstrip("/")
    if _exists(f"{url}/{MANIFEST_FILE}"):
        return {"train": url}
    splits = [split for split in ("train", "test") if _exists(f"{url}/{split}/{MANIFEST_FILE}")]
    if "train" not in splits:
        raise StoreError(
            f"There is no block store at {shown(url)!r}: neither {MANIFEST_FILE} nor "
            f"train/{MANIFEST_FILE}."
        )
    return {split: f"{url}/{split}" for split in splits}


def _exists(url: str) -> bool:
    try:
        return look_up(url) is not None
    except NotFoundError:
        return False
