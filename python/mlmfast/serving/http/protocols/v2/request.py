"""The JSON part of a request over the Open Inference Protocol."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from mlmfast.serving.http.protocols.v2.parameters import (
    OF_INPUTS,
    OF_OUTPUTS,
    PARAMETERS,
    SPARSE_PARAMETERS,
    schema_of,
)
from mlmfast.serving.http.protocols.v2.signature import INPUTS, OUTPUTS, SPARSE_OUTPUTS


class InputTensor(BaseModel):
    """An input of an inference request."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(json_schema_extra={"enum": [name for name, *_ in INPUTS]})
    datatype: str = Field(description="BYTES; for top_k an integer, as INT32.")
    shape: list[Annotated[int, Field(strict=True)]] = Field(max_length=8, fail_fast=True)
    data: list[Any] | None = None
    parameters: dict[str, Any] = Field(
        default_factory=dict, json_schema_extra=lambda schema: schema.update(schema_of(OF_INPUTS))
    )


class OutputTensor(BaseModel):
    """A requested output."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(json_schema_extra={"enum": [n for n, *_ in (*OUTPUTS, *SPARSE_OUTPUTS)]})
    parameters: dict[str, Any] = Field(
        default_factory=dict,
        json_schema_extra=lambda schema: schema.update(schema_of(OF_OUTPUTS)),
    )


class InferRequest(BaseModel):
    """The JSON part of an inference request."""

    model_config = ConfigDict(extra="forbid")

    id: str | None = None
    inputs: list[InputTensor] = Field(min_length=1, max_length=8, fail_fast=True)
    outputs: list[OutputTensor] | None = Field(
        None, max_length=8, fail_fast=True, json_schema_extra={"uniqueItems": True}
    )
    parameters: dict[str, Any] = Field(
        default_factory=dict,
        json_schema_extra=lambda schema: schema.update(schema_of(PARAMETERS | SPARSE_PARAMETERS)),
    )
