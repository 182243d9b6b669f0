"""Refusals with stable names, and the strict spellings of bytes and JSON.

Protects against one value with two spellings: each reader here accepts exactly one.
"""

import base64
import binascii
import hashlib
import json
import re

# A tenant's and a customer's name, as enclave/SPEC.md's identifiers are spelled.
TENANT = re.compile("[a-z0-9-]{1,64}")
USER = re.compile("[!-~]{1,128}")
# Arrays and objects inside each other, at most.
DEPTH_MAX = 127


class Refusal(Exception):
    """The evidence is at fault. `code` is the stable name, the text says what is wrong."""

    def __init__(self, code, text):
        super().__init__(text)
        self.code = code


def sha256(*parts):
    """SHA-256 (FIPS 180-4) of the parts (bytes) one after the other: 32 bytes."""
    return hashlib.sha256(b"".join(parts)).digest()


def sha384(*parts):
    """SHA-384 (FIPS 180-4) of the parts (bytes) one after the other: 48 bytes."""
    return hashlib.sha384(b"".join(parts)).digest()


def b64u(data):
    """Base64url without padding (RFC 4648 section 5) of bytes, as text."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def from_b64u(text, code="malformed"):
    """Bytes of base64url without padding; any other spelling is refused under `code`."""
    if isinstance(text, str):
        try:
            data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        except (binascii.Error, ValueError):
            data = None
        if data is not None and b64u(data) == text:
            return data
    raise Refusal(code, "not base64url without padding")


def from_b64(text, code="malformed"):
    """Bytes of padded standard base64 (RFC 4648 section 4); else refused under `code`."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        data = None
    if data is None or base64.b64encode(data).decode() != text:
        raise Refusal(code, "not base64")
    return data


def from_hex(text, length=None, code="malformed"):
    """Bytes of lowercase hexadecimal text, exactly `length` of them if given."""
    digits = isinstance(text, str) and all(c in "0123456789abcdef" for c in text)
    if not digits or len(text) % 2 or length not in (None, len(text) // 2):
        raise Refusal(code, "not lowercase hexadecimal of the right length")
    return bytes.fromhex(text)


def _members(pairs):
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member stands twice")
    return members


def _constant(name):
    raise ValueError(f"{name} is no JSON")


def _depth(value):
    inner = value.values() if isinstance(value, dict) else value
    return 1 + max(map(_depth, inner), default=0) if isinstance(value, (dict, list)) else 0


def parse_json(data, code="malformed"):
    """The value of JSON text (RFC 8259, bytes or str); repeated members are refused."""
    try:
        if isinstance(data, bytes):
            data = data.decode("utf-8")
        value = json.loads(data, object_pairs_hook=_members, parse_constant=_constant)
        # Half a surrogate pair is no character, 1e999 no number.
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode("utf-8")
        if _depth(value) > DEPTH_MAX:
            raise ValueError("nested too deeply")
        return value
    except (ValueError, RecursionError) as error:
        raise Refusal(code, f"no JSON: {error}") from error


def members(value, required, optional=(), code="malformed"):
    """Checks that `value` is an object with all of `required` and no member beyond both."""
    if not isinstance(value, dict):
        raise Refusal(code, "no JSON object")
    missing = [name for name in required if name not in value]
    unknown = [name for name in value if name not in required and name not in optional]
    if missing or unknown:
        wrong = f"no member {missing[0]}" if missing else f"unknown member {unknown[0]}"
        raise Refusal(code, wrong)
    return value


def text(value, code="malformed"):
    """`value` if it is a text."""
    if not isinstance(value, str):
        raise Refusal(code, "no text where one belongs")
    return value


def name(value, pattern):
    """`value` if it is a text of this pattern, TENANT or USER."""
    if not pattern.fullmatch(text(value)):
        raise Refusal("malformed", "a name outside its alphabet")
    return value


def flag(value):
    """`value` if it is true or false; 1 and 0 are neither."""
    if not isinstance(value, bool):
        raise Refusal("malformed", "neither true nor false")
    return value


def uint(value, bits=64, code="malformed"):
    """`value` if it is an integer of `bits` bits without sign; true and 1.0 are none."""
    if type(value) is not int or not 0 <= value < 1 << bits:
        raise Refusal(code, f"no unsigned integer of {bits} bits")
    return value


def listed(value, code="malformed"):
    """`value` if it is a list."""
    if not isinstance(value, list):
        raise Refusal(code, "no list where one belongs")
    return value
