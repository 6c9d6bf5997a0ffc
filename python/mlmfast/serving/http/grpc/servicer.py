"""The methods of the Open Inference Protocol over gRPC, and those of its health service."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import grpc

from mlmfast.serving.http.errors import HTTPError
from mlmfast.serving.http.grpc.calls import Calls, RefusedError, code_of, metadata_of
from mlmfast.serving.http.grpc.messages import SERVICE, message, method_messages
from mlmfast.serving.http.grpc.tensors import infer_request, infer_response
from mlmfast.serving.http.memory import BudgetFullError
from mlmfast.serving.http.offload import LARGE_BYTES
from mlmfast.serving.http.protocols.v2.inference import (
    VERSION,
    infer_call,
    model_metadata,
    server_metadata,
)
from mlmfast.serving.http.protocols.v2.outputs import (
    output_tensors,
    requested_outputs,
)
from mlmfast.serving.http.protocols.v2.repository import load_model, unload_model
from mlmfast.serving.scheduler.queue import AnswerTooLargeError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from mlmfast.serving.http.protocols.requests import Call
    from mlmfast.serving.http.protocols.v2.request import InferRequest
    from mlmfast.serving.http.record import Record
    from mlmfast.serving.http.registry import ServedModel
    from mlmfast.serving.http.service import Service
    from mlmfast.serving.scheduler.request import InferenceResponse

# Requests of one stream that are in hand at a time.
_STREAMED = 32


class Servicer:
    """The Open Inference Protocol.

    Args:
        service: the models, which HTTP serves too.
    """

    def __init__(self, service: Service):
        self._service = service
        self._calls = Calls(service)

    def handler(self) -> grpc.GenericRpcHandler:
        """Return the handler of all methods."""
        unary = {
            "ServerLive": self._server_live,
            "ServerReady": self._server_ready,
            "ModelReady": self._with_key(self._model_ready),
            "ServerMetadata": self._with_key(self._server_metadata),
            "ModelMetadata": self._with_key(self._model_metadata),
            "ModelStatistics": self._with_key(self._model_statistics),
            "RepositoryIndex": self._with_key(self._repository_index),
            "RepositoryModelLoad": self._with_key(self._repository_model_load),
            "RepositoryModelUnload": self._with_key(self._repository_model_unload),
            "ModelInfer": self._model_infer,
        }
        handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {}
        for name, method in unary.items():
            request, response = method_messages(name)
            handlers[name] = grpc.unary_unary_rpc_method_handler(
                method, request.FromString, response.SerializeToString
            )
        request, response = method_messages("ModelStreamInfer")
        handlers["ModelStreamInfer"] = grpc.stream_stream_rpc_method_handler(
            self._model_stream_infer, request.FromString, response.SerializeToString
        )
        return grpc.method_handlers_generic_handler(SERVICE, handlers)

    async def _server_live(self, _request: Any, _context: Any) -> Any:
        return message("ServerLiveResponse")(live=True)

    async def _server_ready(self, _request: Any, _context: Any) -> Any:
        return message("ServerReadyResponse")(ready=self._service.state == "ready")

    async def _model_ready(self, request: Any) -> Any:
        served = self._model(request.name, request.version)
        return message("ModelReadyResponse")(ready=served.ready and not self._service.draining)

    async def _server_metadata(self, _request: Any) -> Any:
        return message("ServerMetadataResponse")(**server_metadata([]))

    async def _model_metadata(self, request: Any) -> Any:
        served = self._model(request.name, request.version)
        return message("ModelMetadataResponse")(**model_metadata(served))

    async def _model_statistics(self, request: Any) -> Any:
        """Tell what a model has done, or all of them."""
        models = self._service.models
        chosen = [self._model(request.name, request.version)] if request.name else list(models)
        response = message("ModelStatisticsResponse")
        known = message("ModelStatistics").DESCRIPTOR.fields_by_name
        told = [served.statistics.as_json(served.name, VERSION) for served in chosen]
        return response(
            model_stats=[
                {name: value for name, value in one.items() if name in known} for one in told
            ]
        )

    async def _repository_index(self, request: Any) -> Any:
        response = message("RepositoryIndexResponse")()
        for served in self._service.models:
            if served.ready or not request.ready:
                state = "READY" if served.ready else "UNAVAILABLE"
                response.models.add(name=served.name, version=VERSION, state=state)
        return response

    async def _repository_model_load(self, request: Any) -> Any:
        await load_model(self._service, request.model_name, request.parameters)
        return message("RepositoryModelLoadResponse")()

    async def _repository_model_unload(self, request: Any) -> Any:
        """Unload a model; no other depends on it, whatever `unload_dependents` says."""
        await unload_model(self._service, request.model_name)
        return message("RepositoryModelUnloadResponse")()

    async def _model_infer(self, request: Any, context: Any) -> Any:
        try:
            return await self._infer("ModelInfer", request, context)
        except RefusedError as error:
            await context.abort(error.code, error.message, tuple(error.trailing))

    async def _model_stream_infer(
        self, requests: AsyncIterator[Any], context: Any
    ) -> AsyncIterator[Any]:
        """Answer requests in their order, several at a time; one that fails ends no others."""
        await self._require_key(context)
        answers: asyncio.Queue[asyncio.Task[Any] | None] = asyncio.Queue(_STREAMED)

        async def read() -> None:
            async for request in requests:
                await answers.put(asyncio.ensure_future(self._streamed(request, context)))
            await answers.put(None)

        reader = asyncio.ensure_future(read())
        answer: asyncio.Task[Any] | None = None
        try:
            while (answer := await answers.get()) is not None:
                yield await answer
        finally:
            reader.cancel()
            while answer is not None:
                answer.cancel()
                answer = None if answers.empty() else answers.get_nowait()

    async def _streamed(self, request: Any, context: Any) -> Any:
        response = message("ModelStreamInferResponse")
        try:
            answer = await self._infer("ModelStreamInfer", request, context)
        except RefusedError as error:
            return response(error_message=error.message, infer_response={"id": request.id})
        return response(infer_response=answer)

    async def _infer(self, method: str, request: Any, context: Any) -> Any:
        async def work(record: Record) -> Any:
            served = self._model(request.model_name, request.model_version)
            record.model = served.name
            try:
                with self._service.bodies.hold(None) as holding:
                    holding.resize(request.ByteSize())
                    return await self._answer(served.name, request, record)
            except BudgetFullError:
                raise HTTPError(
                    429,
                    "memory_full",
                    "Other requests and answers take all the room for them: try again later.",
                    retry_after=1,
                ) from None

        return await self._calls.run(method, context, work)

    async def _answer(self, model: str, request: Any, record: Record) -> Any:
        """Answer a request; large ones do not hold up others."""
        service = self._service

        def parse() -> tuple[Call, InferRequest]:
            body, binary = infer_request(request)
            requested_outputs(body)  # wrong ones are refused before the model runs
            return infer_call(model, body, binary), body

        def write(answered: InferenceResponse | None) -> Any:
            tensors = {tensor.name: tensor for tensor in output_tensors(body, answered)}
            chosen = [tensors[name] for name, _ in requested_outputs(body)]
            response = infer_response(model, request.id, chosen)
            if response.ByteSize() > service.settings.max_answer:
                raise AnswerTooLargeError(service.settings.max_answer)
            return response

        call, body = await service.large_work.run(request.ByteSize(), parse)
        answered = await service.answer(call, record)
        size = answered.characters if answered else 0
        with service.answers.hold(None) as holding:
            if size > LARGE_BYTES:
                holding.resize(size)
            return await service.large_work.run(size, write, answered)

    def _model(self, name: str, version: str) -> ServedModel:
        served = self._service.models.get(name)
        if version not in ("", VERSION):
            raise HTTPError(
                404,
                "no_such_model",
                f"The model {served.name} has the version {VERSION}, and not {version[:80]!r}.",
            )
        return served

    def _with_key(self, method: Any) -> Any:
        async def checked(request: Any, context: Any) -> Any:
            await self._require_key(context)
            try:
                return await method(request)
            except HTTPError as error:
                await context.abort(code_of(error), error.message)

        return checked

    async def _require_key(self, context: Any) -> None:
        try:
            self._calls.check_key(metadata_of(context))
        except HTTPError as error:
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, error.message)
