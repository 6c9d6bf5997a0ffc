"""One table of options: the signature of `prepare`, its documentation and the command's flags."""

from __future__ import annotations

import inspect
import pickle
import re

import pytest

import mlmfast
from mlmfast.cli.stores.prepare import command
from mlmfast.data.prepare.options import PrepareOptions
from mlmfast.errors import InputError


def test_the_signature_shows_every_option_with_its_default():
    parameters = inspect.signature(mlmfast.prepare).parameters
    assert list(parameters)[:3] == ["inputs", "output", "tokenizer"]
    assert parameters["tokenizer"].default is inspect.Parameter.empty
    assert parameters["block_size"].default == 128
    assert parameters["add_tokens"].default == ()
    assert parameters["block_size"].kind is inspect.Parameter.KEYWORD_ONLY
    arguments = inspect.getdoc(mlmfast.prepare).partition("Args:")[2].partition("Returns:")[0]
    assert re.findall(r"^    (\w+): ", arguments, re.MULTILINE) == list(parameters)
    assert pickle.loads(pickle.dumps(mlmfast.prepare)) is mlmfast.prepare


def test_the_command_has_a_flag_for_every_option():
    given = command.make_context("prepare", ["a.txt", "--output", "out", "--tokenizer", "any"])
    defaults = {"inputs": ("a.txt",), "output": "out", "tokenizer": "any", "add_tokens": None}
    for name, parameter in inspect.signature(mlmfast.prepare).parameters.items():
        if name != "progress":  # the command shows it unless it is quiet
            assert given.params[name] == defaults.get(name, parameter.default), name


@pytest.mark.parametrize(
    ("arguments", "options", "said"),
    [
        (("a.txt",), {"tokenizer": "any"}, "missing a required argument: 'output'"),
        (("a.txt", "out"), {}, "missing a required argument: 'tokenizer'"),
        (("a.txt", "out"), {"tokenizer": "any", "block": 8}, "unexpected keyword argument 'block'"),
    ],
)
def test_a_call_that_does_not_fit_names_the_function(arguments, options, said):
    with pytest.raises(TypeError, match=rf"prepare\(\) .*{said}"):
        mlmfast.prepare(*arguments, **options)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"packing": "first"}, "packing must be one of concat, best_fit, none; got 'first'"),
        ({"engine": None}, "engine must be one of local, ray; got None"),
        ({"limit": 0}, "limit must be a whole number from 1 up; got 0"),
        ({"verify": True}, "verify must be a whole number from 0 up; got True"),
        ({"seed": None}, "seed must be a whole number from 0 up; got None"),
    ],
)
def test_values_outside_their_limits_are_refused(options, said):
    with pytest.raises(InputError, match=said):
        PrepareOptions(tokenizer="any", **options)
