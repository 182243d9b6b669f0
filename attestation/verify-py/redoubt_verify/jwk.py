"""Public keys as JSON Web Keys: RFC 7517, RFC 8037 (Ed25519), RFC 9964 (ML-DSA-65).

Thumbprints (RFC 7638) are key ids. Every member must be there and no other.
"""

from .refusal import Refusal, b64u, from_b64u, members, sha256
from .signatures import ML_DSA_65_PUBLIC


def _fixed(key, expected, code):
    for name, value in expected.items():
        if key[name] != value:
            raise Refusal(code, f"a key's {name} is not {value}")


def _coordinate(key, name, length, code):
    data = from_b64u(key[name], code)
    if len(data) != length:
        raise Refusal(code, f"a key's {name} has not {length} bytes")
    return data


def p256(key, code="malformed"):
    """(uncompressed point of 65 bytes, kid) of an EC P-256 key."""
    members(key, ("kty", "crv", "x", "y"), code=code)
    _fixed(key, {"kty": "EC", "crv": "P-256"}, code)
    point = b"\x04" + b"".join(_coordinate(key, name, 32, code) for name in "xy")
    text = f'{{"crv":"P-256","kty":"EC","x":"{key["x"]}","y":"{key["y"]}"}}'
    return point, b64u(sha256(text.encode()))


def ml_dsa_65(key, code="malformed"):
    """(public key of 1952 bytes, kid) of an AKP ML-DSA-65 key."""
    members(key, ("kty", "alg", "pub"), code=code)
    _fixed(key, {"kty": "AKP", "alg": "ML-DSA-65"}, code)
    public = _coordinate(key, "pub", ML_DSA_65_PUBLIC, code)
    text = f'{{"alg":"ML-DSA-65","kty":"AKP","pub":"{key["pub"]}"}}'
    return public, b64u(sha256(text.encode()))


def ed25519(key, code="malformed"):
    """The 32 bytes of an OKP Ed25519 key."""
    members(key, ("kty", "crv", "x"), code=code)
    _fixed(key, {"kty": "OKP", "crv": "Ed25519"}, code)
    return _coordinate(key, "x", 32, code)
