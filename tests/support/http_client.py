"""httpx, as patient as a test: by itself it waits five seconds, too few on a busy machine."""

from __future__ import annotations

import functools

import httpx

PATIENCE = 300

get = functools.partial(httpx.get, timeout=PATIENCE)
post = functools.partial(httpx.post, timeout=PATIENCE)
request = functools.partial(httpx.request, timeout=PATIENCE)
options = functools.partial(httpx.options, timeout=PATIENCE)
Client = functools.partial(httpx.Client, timeout=PATIENCE)
