"""Judges an OpenAPI document: is it one, and is every example what its schema says?

    python check.py openapi.json

Both judges are other people's: openapi-spec-validator (the OpenAPI 3.1 meta schema) and
jsonschema (draft 2020-12, formats asserted).
"""
import json
import sys
from urllib.parse import unquote

from jsonschema import Draft202012Validator
from openapi_spec_validator import validate


def pointer(document, reference):
    """What a local reference names."""
    for part in reference.removeprefix("#/").split("/"):
        document = document[unquote(part).replace("~1", "/").replace("~0", "~")]
    return document


def samples(document, content):
    """Each example of a media type or parameter, by name."""
    if "example" in content:
        yield "example", content["example"]
    for name, example in content.get("examples", {}).items():
        if "$ref" in example:
            example = pointer(document, example["$ref"])
        yield name, example["value"]


def places(document):
    """Every media type and parameter with the name of its place."""
    for path, item in document["paths"].items():
        for method, operation in item.items():
            name = f"{method.upper()} {path}"
            for parameter in operation.get("parameters", []):
                yield f"{name} parameter {parameter['name']}", parameter
            for kind, content in operation.get("requestBody", {}).get("content", {}).items():
                yield f"{name} request {kind}", content
            for status, response in operation["responses"].items():
                for kind, content in response.get("content", {}).items():
                    yield f"{name} {status} {kind}", content


def main(path):
    with open(path, encoding="utf-8") as file:
        document = json.load(file)
    validate(document)
    judged, wrong = 0, []
    for place, holder in places(document):
        found = list(samples(document, holder))
        if not found:
            wrong.append(f"{place}: no example")
        schema = {**holder["schema"], "components": document["components"]}
        validator = Draft202012Validator(
            schema, format_checker=Draft202012Validator.FORMAT_CHECKER
        )
        for name, value in found:
            judged += 1
            for error in validator.iter_errors(value):
                wrong.append(f"{place} {name} {error.json_path}: {error.message[:200]}")
    for line in wrong:
        print(line)
    print(f"{len(document['paths'])} paths, {judged} examples judged, {len(wrong)} complaints")
    return 1 if wrong or not judged else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
