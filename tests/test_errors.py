"""What a message quotes of a library's error."""

from __future__ import annotations

from mlmfast.errors import first_line, first_sentence


def test_the_first_line_of_an_error():
    assert first_line(ValueError("\n the cause \n its traceback\n")) == "the cause"
    assert first_line(ValueError("one\ntwo\nthree"), lines=2) == "one two"
    assert first_line(ValueError(" \n")) == "ValueError"


def test_the_first_line_as_a_sentence():
    assert first_sentence(ValueError("no such key\nmore")) == "no such key."
    assert first_sentence(ValueError("It failed!")) == "It failed!"
    assert first_sentence(KeyError()) == "KeyError."
