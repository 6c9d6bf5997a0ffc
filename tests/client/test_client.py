"""`mlmfast.Client` and `mlmfast.AsyncClient`: answers, limits, patience and errors."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys

import pytest

import mlmfast
from mlmfast.client.exchange import ServerLimits
from mlmfast.errors import InputError, InputTypeError, NoMaskError, ServerError
from onnx_folder import fill_mask, onnx  # noqa: F401 (fixtures)
from scheduling import near
from scripted_server import scripted
from serving import PATIENCE, begun

TEXTS = [
    "paris is the <mask> of france",
    "the <mask> way is a spiral <mask>",
    "it does not <mask> , it is n't far !",
]
INFO = (200, {}, {"limits": {"max_texts": 4, "max_body_bytes": 100_000}})


class Blocking:
    """An `AsyncClient` with the methods of a `Client`."""

    def __init__(self, *args, **kwargs):
        self._runner = asyncio.Runner()
        self._client = mlmfast.AsyncClient(*args, **kwargs)

    def __getattr__(self, name):
        return lambda *args, **kwargs: self._run(getattr(self._client, name)(*args, **kwargs))

    def __call__(self, *args, **kwargs):
        return self._run(self._client(*args, **kwargs))

    def stream(self, *args, **kwargs):
        answers = self._client.stream(*args, **kwargs)
        try:
            while True:
                yield self._run(anext(answers))
        except StopAsyncIteration:
            return

    def close(self):
        self._run(self._client.close())
        self._runner.close()

    def _run(self, waiting):
        async def awaited():
            return await waiting

        return self._runner.run(awaited())


@pytest.fixture(params=[mlmfast.Client, Blocking], ids=["Client", "AsyncClient"])
def connect(request):
    """Return a function that makes a client, which is closed after the test."""
    made = []

    def connect(*args, **kwargs):
        made.append(request.param(*args, **kwargs))
        return made[-1]

    yield connect
    for client in made:
        client.close()


@pytest.fixture(scope="module")
def server(onnx):
    limits = ["--max-texts", "5", "--max-rows", "300", "--max-passes", "40"]
    with begun(f"tiny={onnx}", *limits, "--api-key", "secret") as one:
        yield one


@pytest.fixture
def client(connect, server):
    return connect(server.url, api_key=" secret\n", timeout=PATIENCE, priority="high")


@pytest.fixture
def script():
    with scripted() as one:
        yield one


class TestAnswers:
    def test_are_those_of_fill_mask(self, client, fill_mask):
        for text in TEXTS:
            assert near(client(text, top_k=3), fill_mask(text, top_k=3))
        words = [" city", " way"]
        found = client(TEXTS[0], targets=words, whole_targets=True)
        assert near(found, fill_mask(TEXTS[0], targets=words, whole_targets=True))
        assert near(client.fill(TEXTS[1], top_k=2), fill_mask.fill(TEXTS[1], top_k=2))
        assert near(client.score("paris is far"), fill_mask.score("paris is far"))
        found = client.score(["paris is far"], per_token=True)
        assert near(found, fill_mask.score(["paris is far"], per_token=True))
        assert client([]) == []

    def test_many_texts_are_several_requests(self, client, fill_mask):
        """More than one may have: of texts, of rows, and of passes."""
        texts = TEXTS * 6
        assert near(client(texts, top_k=2), [fill_mask(text, top_k=2) for text in texts])
        assert len(client(texts, top_k=80)) == len(texts)
        assert len(client.score(["paris is the capital of france"] * 9)) == 9

    def test_a_stream_gives_them_in_order(self, client, fill_mask):
        texts = [TEXTS[number % 3] for number in range(100)]
        found = list(client.stream(iter(texts), top_k=2))
        assert near(found, [fill_mask(text, top_k=2) for text in texts])
        assert list(client.stream([])) == []

    def test_a_bad_text_of_a_stream_is_told_by_its_number(self, client, fill_mask):
        texts = [*TEXTS, "no mask", *TEXTS]
        found = list(client.stream(texts, on_error="return"))
        assert isinstance(found[3], NoMaskError)
        assert near(found[:3] + found[4:], [fill_mask(text) for text in TEXTS * 2])
        seen = []
        with pytest.raises(NoMaskError, match="Text 4: "):
            seen.extend(client.stream(texts))
        with pytest.raises(InputError, match="top_k"):
            list(client.stream(TEXTS, top_k=-1))

    def test_what_the_server_has(self, client):
        assert client.models()[0]["mask_token"] == "<mask>"
        assert client.info()["limits"]["max_texts"] == 5

    def test_errors_say_what_is_wrong(self, client, connect, server):
        with pytest.raises(NoMaskError, match="no mask token"):
            client("nothing to fill")
        with pytest.raises(InputError, match="Of texts 6 to 7: Text 2"):
            client([*TEXTS, *TEXTS, "nothing"])
        with pytest.raises(InputError, match="There is no model 'other'"):
            connect(server.url, api_key="secret", model="other", timeout=PATIENCE)(TEXTS[0])
        with pytest.raises(ServerError, match="requires a key") as caught:
            connect(server.url, timeout=PATIENCE)(TEXTS[0])
        assert (caught.value.status, caught.value.reason) == (401, "unauthorized")
        with pytest.raises(InputTypeError, match="Text 2 must be a string, and is int"):
            client(["a", 1])


def lines(*contents, **headers):
    text = "".join(json.dumps(content) + "\n" for content in contents).encode()
    return 200, {"content-type": "application/x-ndjson", **headers}, text


class TestPatience:
    def test_a_full_server_is_asked_again(self, connect, script):
        answer = (200, {}, {"answers": [{"masks": [[1]]}]})
        busy = {"error": "full", "error_type": "queue_full"}
        script.script += [
            (429, {"retry-after": "0"}, busy),
            (503, {"retry-after": "Sun, 06 Nov 1994 08:49:37 GMT"}, b"no JSON"),
            answer,
        ]
        assert connect(script.url, timeout=7)("a") == [1]
        assert [headers["x-request-timeout"] for _, headers, _ in script.asked] == ["7.000"] * 3

    def test_but_not_for_longer_than_it_may(self, connect, script):
        script.script += [(429, {"retry-after": "60"}, {"error": "full", "error_type": "x"})]
        with pytest.raises(ServerError, match="full") as caught:
            connect(script.url, retry_seconds=30)("a")
        assert (caught.value.status, caught.value.reason) == (429, "x")
        assert len(script.asked) == 1

    def test_a_lost_connection_is_made_anew(self, connect, script, monkeypatch):
        monkeypatch.setattr("mlmfast.client.retries._FIRST", 0.0)
        script.script += [None, None, (200, {}, {"answers": [{"masks": [[1], [2]]}]})]
        assert connect(script.url)("a") == [[1], [2]]
        script.script += [None]
        with pytest.raises(ServerError, match=r"The server http://127.*did not answer"):
            connect(script.url, retry_seconds=-1)("a")

    def test_failures_are_not_repeated(self, connect, script):
        script.script += [(500, {}, {"error": "broken", "request_id": "7"})]
        with pytest.raises(ServerError, match="broken") as caught:
            connect(script.url)("a")
        assert caught.value.request_id == "7"

    def test_a_stream_goes_on_after_its_last_answer(self, connect, script, monkeypatch):
        monkeypatch.setattr("mlmfast.client.retries._FIRST", 0.0)
        one, two, end = {"index": 0, "masks": [[1]]}, {"index": 1, "masks": [[2]]}, {"end": True}
        script.script += [
            INFO,
            (503, {"retry-after": "0"}, {"error": "loading"}),
            lines(one, **{"content-length": "1000"}),
            lines({"index": 0, "masks": [[2]]}),
            lines({"error": "stopping", "error_type": "draining"}),
            lines({"index": 0, "masks": [[3]]}, end),
            lines(one, two, end),
        ]
        client = connect(script.url)
        assert list(client.stream(["a", "b", "c"])) == [[1], [2], [3]]
        assert [body["inputs"] for body in script.bodies()][1:] == [
            ["a", "b", "c"],
            ["b", "c"],
            ["c"],
            ["c"],
        ]
        assert list(client.stream(["d", "e"])) == [[1], [2]]

    def test_bodies_stay_within_the_limit(self, connect, script):
        answers = {"answers": [{"score": -1.0}]}
        script.script += [INFO, *[(200, {}, answers)] * 3]
        assert connect(script.url).score(["é" * 20_000] * 3) == [-1.0] * 3
        assert all(len(body) < 50_000 for _, _, body in script.asked)
        script.script += [INFO]
        with pytest.raises(InputError, match="Text 2 has 120,004 bytes"):
            connect(script.url)(["a", "é" * 60_000])


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"url": "127.0.0.1:80"}, "begins with http"),
        ({"timeout": 0}, "timeout must be above 0"),
        ({"api_key": " "}, "api_key must be ASCII"),
        ({"priority": "first"}, "priority must be one of high, normal, low"),
    ],
)
def test_arguments_that_mean_nothing(wrong, told):
    for kind in (mlmfast.Client, mlmfast.AsyncClient):
        with pytest.raises(InputError, match=told):
            kind(**{"url": "http://x", **wrong})


def test_without_httpx_it_says_what_to_install():
    program = "import sys; sys.modules['httpx'] = None; import mlmfast; mlmfast.Client('http://x')"
    found = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, check=False, text=True
    )
    assert "pip install 'mlmfast[client]'" in found.stderr


def test_limits_of_a_server_that_tells_none():
    assert ServerLimits.of({}) == ServerLimits(128, 2 << 20)
