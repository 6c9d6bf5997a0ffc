"""The files of a probe's output."""

from __future__ import annotations

RESULT_FILE = "probe.json"
PAGE_FILE = "probe.html"
PICTURE_FILE = "probe.png"
FILES = (RESULT_FILE, PAGE_FILE, PICTURE_FILE)
