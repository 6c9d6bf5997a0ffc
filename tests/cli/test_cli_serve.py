"""Where `mlmfast serve` takes its options from; no server is started."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from mlmfast.cli.serve import command
from mlmfast.errors import InputError, NotFoundError
from mlmfast.serving.http.process import serve as http_serve

MODELS = ("a", "b")


@pytest.fixture
def folders(tmp_path, monkeypatch, tiny_model):
    """Two models below the working folder."""
    for name in MODELS:
        (tmp_path / name).symlink_to(tiny_model("roberta").onnx)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def settings(folders, monkeypatch):
    """Call the command, and return the settings that the server would get."""
    found = []
    monkeypatch.setattr(http_serve, "serve", lambda given, **_: found.append(given))

    def call(*arguments: str, file: str = "", **variables: str):
        if file:
            (folders / "serve.yaml").write_text(file, encoding="utf-8")
            arguments = ("--config", "serve.yaml", *arguments)
        environment = {f"MLMFAST_SERVE_{name}": value for name, value in variables.items()}
        done = CliRunner().invoke(
            command, arguments, env=environment, standalone_mode=False, catch_exceptions=True
        )
        if done.exception:
            raise done.exception
        return found.pop()

    return call


def test_a_flag_comes_before_a_variable_a_file_and_the_default(settings):
    file = "models: a\nport: 3\nmax_queue: 300\nmax-texts: 30\n"
    found = settings("--port", "1", file=file, PORT="2", MAX_QUEUE="200")
    assert (found.port, found.max_queue, found.max_texts) == (1, 200, 30)
    assert found.max_rows == 10_000
    assert [source.name for source in found.models] == ["a"]


def test_every_flag_has_a_variable_and_a_name_in_files(settings):
    """Each is refused for its value, and the message says where it comes from."""
    flags = [param for param in command.params if param.opts[0].startswith("--")]
    typed = [param for param in flags if param.type.name in ("integer", "float", "choice")]
    assert len(typed) > 15
    for param in typed:
        name = param.opts[0][2:]
        variable = name.upper().replace("-", "_")
        with pytest.raises(Exception, match=rf"comes from \$MLMFAST_SERVE_{variable}\."):
            settings("a", **{variable: "x"})
        with pytest.raises(Exception, match=r"is in serve\.yaml\."):
            settings("a", file=f"{name}: x\n")


def test_models_and_origins_from_anywhere(settings):
    assert [s.name for s in settings(MODELS="a other=b").models] == ["a", "other"]
    assert [s.name for s in settings(file="models: [a, x=b]").models] == ["a", "x"]
    assert [s.name for s in settings(file="models: {x: a, y: b}").models] == ["x", "y"]
    assert [s.name for s in settings("b", file="models: a").models] == ["b"]
    origins = ("https://a.example", "https://b.example")
    assert settings("a", CORS_ORIGIN=" ".join(origins)).cors_origins == origins
    assert settings("a", file=f"cors_origin: [{', '.join(origins)}]").cors_origins == origins
    assert settings("a", file=f"cors_origin: {origins[0]}").cors_origins == origins[:1]


def test_a_key_from_a_flag_a_variable_and_a_file(settings, monkeypatch):
    monkeypatch.setenv("MLMFAST_API_KEY", "old")
    assert settings("a").api_keys == ("old",)
    assert settings("a", file="api_key: file").api_keys == ("old",)
    assert settings("a", API_KEY="new").api_keys == ("new",)
    assert settings("a", "--api-key", "flag", API_KEY="new").api_keys == ("flag",)
    monkeypatch.delenv("MLMFAST_API_KEY")
    assert settings("a", file="api_key: file").api_keys == ("file",)


def test_an_empty_variable_counts_as_not_given(settings):
    assert settings("a", file="port: 81", PORT="").port == 81
    assert settings("a", PORT="", CONFIG="").port == 8080


def test_json_holds_settings_too(settings, folders):
    (folders / "serve.json").write_text('{"models": ["a"], "port": 81}', encoding="utf-8")
    assert settings(CONFIG="serve.json").port == 81


@pytest.mark.parametrize(
    ("file", "told"),
    [
        ("max_quue: 3", "unknown option 'max-quue'; did you mean max-queue"),
        ("config: other.yaml", "unknown option 'config'"),
        ("port: [1, 2]", r"port of the settings serve.yaml is \[1, 2\]; expected one value"),
        ("- port", "must hold names and values"),
        ("port: {", "cannot be read"),
    ],
)
def test_a_file_that_cannot_be_meant(settings, file, told):
    with pytest.raises(InputError, match=told):
        settings("a", file=file)


def test_a_file_that_is_not_there(settings):
    with pytest.raises(NotFoundError, match=r"no file of settings nowhere\.yaml"):
        settings("a", CONFIG="nowhere.yaml")


def test_a_variable_that_no_option_has(settings):
    told = "No option has the variable MLMFAST_SERVE_PROT; did you mean MLMFAST_SERVE_PORT"
    with pytest.raises(InputError, match=told):
        settings("a", PROT="80")


@pytest.mark.parametrize("value", ["1.5", "yes", "0x10"])
def test_a_number_in_a_file_is_read_as_on_the_command_line(settings, value):
    with pytest.raises(Exception, match=r"not a valid integer.*is in serve\.yaml"):
        settings("a", file=f'port: "{value}"' if value == "0x10" else f"port: {value}")
