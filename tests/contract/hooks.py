"""What schemathesis must not make up, and what the document cannot say to it."""
import json
import os
import re
import zlib

import schemathesis

AUDITOR = os.environ.get("REDOUBT_ASKER") == "auditor"


def fitted(parameter):
    """An auditor has no tenant of its own and must name one, as the description says; no
    schema can make a parameter depend on a certificate. And a number above int64 is an entry
    of the ledger like any other that is not there yet: entries are counted in u64, for which
    OpenAPI has no name."""
    if AUDITOR and parameter["name"] == "tenant":
        parameter = {**parameter, "required": True}
    if parameter["schema"].get("format") == "int64":
        schema = {name: value for name, value in parameter["schema"].items() if name != "format"}
        parameter = {**parameter, "schema": schema}
    return parameter


# Either one customer, or several and how many of them; four lists of factors. The document says
# so in words: one type serves both forms.
ONE_OR_SEVERAL = [
    {
        "required": ["user_id"],
        "properties": {
            "user_id": {"type": "string"},
            "approvers": {"type": "null"},
            "required": {"type": "null"},
        },
    },
    {
        "required": ["approvers", "required"],
        "properties": {
            "user_id": {"type": "null"},
            "approvers": {"type": "array", "uniqueItems": True},
            "required": {"const": 1},
        },
    },
]
FACTORS = {
    "enum": [
        ["passkey"],
        ["passkey", "face"],
        ["passkey", "voice"],
        ["passkey", "face", "voice"],
        None,
    ]
}


def said_in_words(schemas):
    """What descriptions ask of an approval, and of inputs for one credential, beyond their
    schemas: those name a credential of a customer who is named beside them."""
    schemas["PrfInput"]["properties"].pop("evalByCredential")
    asked = schemas["ApprovalRequest"]
    asked["oneOf"] = ONE_OR_SEVERAL
    asked["properties"]["factors"] = FACTORS


@schemathesis.serializer("application/jose")
def jose(context, value):
    """A JWS is the body itself."""
    return str(value).encode("utf-8", "replace")


@schemathesis.hook
def before_load_schema(context, raw_schema):
    """No checkpoints: a note is signed by this very appliance, so a made-up one is refused
    (400 `checkpoint_refused`) however well formed. Real ones are sent by tests/e2e and
    tests/attack. The schema of an event stream is that of the data of its events, for which
    OpenAPI 3.1 has no words; the clients' tests read those."""
    said_in_words(raw_schema["components"]["schemas"])
    for item in raw_schema["paths"].values():
        for operation in item.values():
            for reply in operation["responses"].values():
                reply.get("content", {}).get("text/event-stream", {}).pop("schema", None)
    for item in raw_schema["paths"].values():
        for operation in item.values():
            operation["parameters"] = [
                fitted(parameter)
                for parameter in operation.get("parameters", [])
                if parameter["name"] != "Redoubt-Checkpoint"
            ]


# Half of what is asked is about something that exists, so that more than doors is tried.
KNOWN = json.loads(os.environ.get("REDOUBT_KNOWN", "{}"))
NAME = re.compile("[!-~]{1,128}")
COMPARED = re.compile("^/api/v1/(verify|approvals/[^/]+/face)$")


def every_other(value):
    """The same half for the same seed."""
    return zlib.crc32(value.encode("utf-8", "replace")) % 2 == 0


@schemathesis.hook
def map_path_parameters(context, path_parameters):
    """`{id}` of a route below approvals, receipts or erasures; never of what erases."""
    kind = (context.operation.path.split("/") + [""] * 3)[3]
    known = KNOWN.get(kind) if kind != "user" else None
    value = (path_parameters or {}).get("id")
    if known and isinstance(value, str) and every_other(value):
        path_parameters["id"] = known[len(value) % len(known)]
    return path_parameters


@schemathesis.hook
def map_body(context, body):
    """A customer who has a passkey; what is no name of a customer stays as it is. And the files
    of a form in their order, as the description asks: members of a schema have none."""
    if isinstance(body, dict) and context.operation.path.endswith("/enroll/submit"):
        body = {name: body[name] for name in sorted(body)}
    if isinstance(body, dict) and COMPARED.search(context.operation.path):
        # Nobody is challenged here: one picture, and no frames beside it.
        body.pop("liveness", None)
        body.setdefault("biometric_data", "AAAA")
    user = body.get("user_id") if isinstance(body, dict) else None
    if KNOWN and isinstance(user, str) and NAME.fullmatch(user) and every_other(user):
        body["user_id"] = KNOWN["user"]
    return body
