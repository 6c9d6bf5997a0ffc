"""The file of API keys, and the limits of a key."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlmfast.errors import InputError, NotFoundError
from mlmfast.serving.http import keys
from mlmfast.serving.http.errors import HTTPError
from mlmfast.serving.http.keys import ApiKey, ApiKeys, KeyBusyError, read_key_file
from mlmfast.serving.http.settings import ModelSource, ServeSettings

MODELS = (ModelSource("one", Path("nowhere")),)


@pytest.fixture
def file(tmp_path):
    return tmp_path / "keys.txt"


def test_lines_of_all_kinds(file):
    file.write_text(
        "\n# of the night\n alone \r\nbatch secret requests_per_second=0.5 max_texts=256\n"
        "web other\n"
    )
    found = [
        (key.name, key.secret, key.requests_per_second, key.max_texts)
        for key in read_key_file(file)
    ]
    assert found == [
        ("key-3", b"alone", None, None),
        ("batch", b"secret", 0.5, 256),
        ("web", b"other", None, None),
    ]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "is empty"),
        ("# nothing\n", "is empty"),
        ("schlüssel", "line 1 .* must be ASCII"),
        ("a/b secret", "name in line 1"),
        ("a secret\na open", "the name 'a'"),
        ("a secret\nb secret", "the same key"),
        ("a secret speed=1", "the limit 'speed', and there is requests_per_second and max_texts"),
        ("\na secret max_texts=0", "max_texts in line 2 .* is '0'"),
        ("a secret max_texts=1.5", "must be a number above 0"),
        ("a secret requests_per_second=nan", "must be a number above 0"),
    ],
)
def test_a_wrong_line_is_named_without_its_key(file, text, told):
    file.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=told) as caught:
        read_key_file(file)
    assert "secret" not in str(caught.value)


def test_a_missing_file(file):
    with pytest.raises(NotFoundError, match="no file of keys"):
        read_key_file(file)


def test_requests_per_second(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(keys.time, "monotonic", lambda: now[0])
    key = ApiKey("web", b"secret", requests_per_second=2)
    key.count_request()
    key.count_request()
    with pytest.raises(HTTPError) as caught:
        key.count_request()
    assert (caught.value.status, caught.value.retry_after) == (429, 1)
    now[0] += 0.5
    key.count_request()
    with pytest.raises(HTTPError):
        key.count_request()
    now[0] += 100
    for _ in range(2):
        key.count_request()
    with pytest.raises(HTTPError):
        key.count_request()


def test_less_than_one_request_per_second(monkeypatch):
    monkeypatch.setattr(keys.time, "monotonic", lambda: 100.0)
    key = ApiKey("web", b"secret", requests_per_second=0.1)
    key.count_request()
    with pytest.raises(HTTPError) as caught:
        key.count_request()
    assert caught.value.retry_after == 10


def test_texts_in_progress():
    key = ApiKey("web", b"secret", max_texts=3)
    key.take_texts(2)
    with pytest.raises(KeyBusyError, match="3 texts in progress, and has 2"):
        key.take_texts(2)
    with pytest.raises(HTTPError, match="the request has 4"):
        key.take_texts(4)
    key.release_texts(2)
    key.take_texts(3)


class TestReload:
    @pytest.fixture
    def served(self, file):
        file.write_text("web secret\n")
        return ApiKeys(ServeSettings(MODELS, api_keys=("fixed",), api_key_file=file))

    def name(self, served, secret):
        return served.holder(f"Bearer {secret}".encode()).name

    def test_keys_come_and_go(self, file, served):
        assert self.name(served, "secret") == "web"
        file.write_text("night other\n")
        served.reload()
        assert self.name(served, "other") == "night"
        assert self.name(served, "fixed") == "default"
        with pytest.raises(HTTPError):
            self.name(served, "secret")

    def test_what_a_key_has_in_use_still_counts(self, file, served):
        served.holder(b"Bearer secret").take_texts(2)
        file.write_text("page secret max_texts=2\n")
        served.reload()
        key = served.holder(b"bearer  secret ")
        assert (key.name, key.texts) == ("page", 2)
        with pytest.raises(KeyBusyError):
            key.take_texts(1)

    def test_a_bad_file_changes_nothing(self, file, served):
        for text in ("web", ""):
            file.write_text(f"web secret {text}\n" if text else "")
            served.reload()
            assert self.name(served, "secret") == "web"
        file.unlink()
        served.reload()
        assert self.name(served, "secret") == "web"
