"""Numbers that no machine type holds: every field of every request takes or refuses them."""

from __future__ import annotations

import copy
import json

import pytest

import http_client
from serving import begun

# As JSON writes them. Python itself makes no integer of more than 4,300 digits from text, nor text.
NUMBERS = [str(2**31), str(2**32), str(2**63), str(2**64), "1" + 400 * "0", "1" + 5000 * "0"]
NUMBERS += ["1e308", "5e-324", "1e400"]
NUMBERS += [f"-{number}" for number in NUMBERS]
HERE = "the number"
REFUSED = {400, 413, 422}


@pytest.fixture(scope="module")
def server(tiny_sparse):
    with begun(f"bert={tiny_sparse('bert').onnx}") as one:
        yield one


def bodies(server):
    """Return every JSON request of the document: (method, URL, its example, its schema)."""
    document = http_client.get(f"{server.url}/openapi.json").json()
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            if method != "parameters" and "requestBody" in operation:
                content = operation["requestBody"]["content"]["application/json"]
                url = server.url + path.replace("{model}", "bert")
                schema = resolved(content["schema"], document)
                yield method, url, content["example"], schema
                if "outputs" in schema["properties"]:
                    for name in ("score", "ids"):  # of fill-mask, and of the sparse encoder
                        yield method, url, with_top_k(content["example"], name), schema


def with_top_k(example, output):
    """Return a request of the Open Inference Protocol with a second input, `top_k`."""
    text = {**example["inputs"][0], "data": ["here is a [MASK] word"], "shape": [1]}
    top_k = {"name": "top_k", "datatype": "UINT64", "shape": [1], "data": [3]}
    return {"inputs": [top_k, text], "outputs": [{"name": output}]}


def resolved(schema, document):
    if "$ref" in schema:
        found = document
        for name in schema["$ref"].removeprefix("#/").split("/"):
            found = found[name]
        return resolved(found, document)
    return {
        key: resolved(value, document)
        if isinstance(value, dict)
        else [resolved(each, document) if isinstance(each, dict) else each for each in value]
        if isinstance(value, list)
        else value
        for key, value in schema.items()
    }


def numeric(schema, place=()):
    """Return where a schema has numbers: paths of keys, and of 0 for the elements of a list."""
    if schema.get("type") in ("integer", "number"):
        yield place
    for name, each in schema.get("properties", {}).items():
        yield from numeric(each, (*place, name))
    if isinstance(schema.get("items"), dict):
        yield from numeric(schema["items"], (*place, 0))
    for each in (*schema.get("anyOf", ()), *schema.get("oneOf", ()), *schema.get("allOf", ())):
        yield from numeric(each, place)


def with_number(example, place, number):
    """Return an example with a number at a place, whose lists and objects are made if need be."""
    if not place:
        return number
    key, *rest = place
    if key == 0:
        first = example[0] if isinstance(example, list) and example else None
        return [with_number(first, rest, number), *(example or [])[1:]]
    filled = copy.copy(example) if isinstance(example, dict) else {}
    filled[key] = with_number(filled.get(key), rest, number)
    return filled


def test_no_number_is_an_error_of_the_server(server):
    found, tried = [], 0
    for method, url, example, schema in bodies(server):
        places = set(numeric(schema))
        if len(example.get("inputs", ())) == 2:
            places.add(("inputs", 0, "data", 0))
        for place in sorted(places, key=str):
            body = json.dumps(with_number(example, place, HERE))
            for number in NUMBERS:
                content = body.replace(json.dumps(HERE), number)
                answer = http_client.request(method, url, content=content)
                tried += 1
                if answer.status_code not in {200, *REFUSED}:
                    found.append((url, place, number[:40], answer.status_code))
    assert not found
    assert tried > 600
    assert not any("Traceback" in line for line in server.lines)
