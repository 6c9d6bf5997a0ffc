"""Fill-mask as a Ray Serve application: replicas that answer as `mlmfast serve` does.

    serve run mlmfast.serving.ray:app model=onnx/ replicas=2 cpus=4

Every replica has its own copy of the models and its own queue, and batches concurrent requests with
the server's scheduler. HTTP clients find the server's routes. Ray's proxies distribute requests.
Needs `pip install 'mlmfast[ray-serve,cpu]'`, which brings Ray 2.56 or newer.
"""

from __future__ import annotations

import threading
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

from pydantic import TypeAdapter, ValidationError

from mlmfast.errors import InputError, MissingDependencyError, MlmfastError
from mlmfast.serving.http.app import build_app
from mlmfast.serving.http.errors import HTTPError
from mlmfast.serving.http.protocols.requests import FillCall, FillMaskCall, ScoreCall
from mlmfast.serving.http.record import Record
from mlmfast.serving.http.service import Service
from mlmfast.serving.http.settings import ModelSource, ServeSettings
from mlmfast.serving.scheduler.queue import QueueFullError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ray.serve import Application
    from starlette.types import ASGIApp

    from mlmfast.serving.http.protocols.requests import Call
    from mlmfast.serving.tasks.rows import Answer, FilledRow
    from mlmfast.serving.tasks.scoring import TokenScores

# Autoscaling adds replicas when each has more requests than this: one batch runs, and the next one
# is gathered.
_TARGET_REQUESTS = 32.0
# A replica itself answers requests beyond its queue with 429. So many more pass Ray's proxy, for
# those that are not queued (health, metrics), before it holds requests back.
_BEYOND_QUEUE = 64
# Options of the server that Ray decides.
_OF_RAY = frozenset(
    {
        *("models", "host", "port", "uds", "admin_port", "grpc_port", "max_connections"),
        *("header_timeout", "workers", "worker_timeout", "threads", "device", "log_format"),
    }
)


def app(arguments: Mapping[str, Any]) -> Application:
    """Build the application from the arguments of `serve run` or of a Serve config file.

    Args:
        arguments: those of `application` by name, as text or as values.

    Raises:
        InputError: an argument is not known, is missing, or has a wrong value.
    """
    if "model" not in arguments:
        raise InputError("Which model? Say it as model=onnx/.")
    hints: dict[str, Any] = {**get_type_hints(ServeSettings), **_OWN}
    known = sorted({*_OWN, *(field.name for field in fields(ServeSettings))} - _OF_RAY)
    options = {}
    for name, value in arguments.items():
        if name not in known:
            raise InputError(f"There is no argument {name!r}; there is {', '.join(known)}.")
        # On a command line, several values are one text.
        several = isinstance(value, str) and "tuple" in str(hints[name])
        try:
            options[name] = TypeAdapter(hints[name]).validate_python(
                tuple(value.split(",")) if several else value
            )
        except ValidationError as error:
            problem = error.errors(include_url=False)[0]["msg"]
            raise InputError(f"{name} is {value!r}: {problem}.") from None
    return application(options.pop("model"), **options)


_OWN: dict[str, Any] = {
    "model": str | dict[str, str],
    "replicas": int,
    "max_replicas": int | None,
    "cpus": float,
    "gpus": float,
}


def application(
    model: str | Path | Mapping[str, str | Path],
    *,
    replicas: int = 1,
    max_replicas: int | None = None,
    cpus: float = 1,
    gpus: float = 0,
    **settings: Any,
) -> Application:
    """Build a Ray Serve application, for `ray.serve.run` or as a part of others.

    Args:
        model: an ONNX folder at a path that exists on every node, or several folders by name.
        replicas: the number of replicas.
        max_replicas: the largest number of replicas under load; None: always `replicas`.
        cpus: cores of one replica, which Ray reserves for it, and its threads.
        gpus: GPUs of one replica; with any, it runs on CUDA only.
        **settings: options of `ServeSettings` that Ray does not decide: api_keys, api_key_file,
            allowed_hosts, cors_origins, batching, max_delay_ms, max_queue, max_batch_tokens,
            max_texts, max_tokens, max_rows, max_passes, max_body_mb, max_bodies_mb, max_characters,
            max_answer_mb, max_answers_mb, body_timeout, request_timeout, drain_seconds, traces.

    Returns:
        An application whose handle has the method `fill_mask`, see `FillMaskReplica`.

    Raises:
        InputError: an option is not known or out of range.
        MissingDependencyError: Ray Serve is not installed.
    """
    for name, value in (("replicas", replicas), ("cpus", cpus)):
        if value <= 0:
            raise InputError(f"{name} must be more than 0, and is {value:g}.")
    if max_replicas is not None and max_replicas < replicas:
        raise InputError(f"max_replicas is {max_replicas}, and replicas {replicas}: never fewer.")
    if refused := sorted(_OF_RAY & settings.keys()):
        raise InputError(f"{refused[0]} is for Ray to decide, and no option of its application.")
    named = {Path(model).absolute().name: model} if isinstance(model, (str, Path)) else model
    sources = tuple(ModelSource(name, Path(folder).absolute()) for name, folder in named.items())
    serve_settings = ServeSettings(
        models=sources,
        device="cuda" if gpus else "cpu",
        threads=max(1, int(cpus)),
        **settings,
    )
    serve = _library()
    scaling = (
        {"num_replicas": replicas}
        if max_replicas is None
        else {
            "autoscaling_config": {
                "min_replicas": replicas,
                "max_replicas": max_replicas,
                "target_ongoing_requests": _TARGET_REQUESTS,
            }
        }
    )
    deployment = serve.deployment(
        serve.ingress()(FillMaskReplica),
        name="FillMask",
        ray_actor_options={"num_cpus": cpus, "num_gpus": gpus},
        max_ongoing_requests=serve_settings.max_queue + _BEYOND_QUEUE,
        max_queued_requests=serve_settings.max_queue,
        graceful_shutdown_timeout_s=serve_settings.drain_seconds,
        **scaling,
    )
    bound: Application = deployment.bind(serve_settings)
    return bound


class FillMaskReplica:
    """One process of the application. Ray sends it requests once its models are ready."""

    def __init__(self, settings: ServeSettings):
        self._service = Service(settings, settings.threads, self._reload)
        self._service.models.load()

    async def __serve_build_asgi_app__(self) -> ASGIApp:
        """Return the routes of `mlmfast serve`, for Ray."""
        return build_app(self._service)

    async def fill_mask(
        self,
        texts: str | Sequence[str],
        *,
        model: str | None = None,
        top_k: int | None = None,
        targets: Sequence[str] | None = None,
        tokenizer_kwargs: Mapping[str, Any] | None = None,
        whole_targets: bool = False,
    ) -> list[Answer]:
        """Answer other deployments, by a handle: `await handle.fill_mask.remote(texts)`.

        Args:
            texts: one text or several.
            model: the model's name; None: the first one.
            top_k: as for `FillMask`.
            targets: as for `FillMask`.
            tokenizer_kwargs: as for `FillMask`.
            whole_targets: as for `FillMask`.

        Returns:
            For each text its rows, as `FillMask` returns them; for one text a list too.

        Raises:
            InputError: a text cannot be used, or there is no such model.
            MlmfastError: the queue of the replica is full, or the request timed out.
        """
        return await self._answer(
            FillMaskCall(model, _listed(texts), top_k, targets, tokenizer_kwargs, whole_targets)
        )

    async def fill(
        self,
        texts: str | Sequence[str],
        *,
        model: str | None = None,
        top_k: int = 5,
        beams: int | None = None,
        order: str = "certain",
        tokenizer_kwargs: Mapping[str, Any] | None = None,
    ) -> list[list[FilledRow]]:
        """Fill all masks of each text together, as `FillMask.fill`; raises as `fill_mask` does."""
        return await self._answer(
            FillCall(model, _listed(texts), top_k, beams, order, tokenizer_kwargs)
        )

    async def score(
        self, texts: str | Sequence[str], *, model: str | None = None, method: str = "original"
    ) -> list[TokenScores]:
        """Score texts and their tokens, as `FillMask.score(texts, per_token=True)`."""
        return await self._answer(ScoreCall(model, _listed(texts), method))

    async def _answer(self, call: Call) -> list[Any]:
        try:
            response = await self._service.answer(call, Record("", protocol="ray"))
        except HTTPError as error:  # it cannot be pickled
            kind = InputError if error.status < 429 else MlmfastError
            raise kind(error.message) from None
        except QueueFullError as error:
            raise MlmfastError(str(error)) from None
        return response.answers if response else []

    def _reload(self) -> None:
        threading.Thread(target=self._service.reload, daemon=True).start()


def _listed(texts: str | Sequence[str]) -> list[str]:
    return [texts] if isinstance(texts, str) else list(texts)


def _library() -> Any:
    try:
        from ray import serve
    except ImportError as error:
        raise MissingDependencyError(
            "This needs Ray Serve, which is not installed: pip install 'mlmfast[ray-serve,cpu]'."
        ) from error
    return serve
