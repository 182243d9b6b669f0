"""The customer's own signature inside an approval: a WebAuthn assertion (Level 3 section
7.2), as enclave/SPEC.md section 6 says."""

from .cbor import Reader
from .refusal import Refusal, b64u, flag, from_b64u, members, parse_json, sha256, text, uint
from .signatures import verify_credential

SIGNED = ("public_key_cose", "authenticator_data", "client_data_json", "signature")
BACKUP_ELIGIBLE = 8
# kty, crv and the lengths of key parameters by COSE algorithm (RFC 9053 section 7, RFC 9964).
POINTS = {-7: (1, 32), -9: (1, 32), -35: (2, 48), -36: (3, 66)}
ALONE = {-8: (1, 6, 32), -19: (1, 6, 32), -48: (7, None, 1312), -49: (7, None, 1952), -50: (7, None, 2592)}


def typed(assertion):
    """Checks the type of every member of an assertion; Refusal `malformed`."""
    members(assertion, (*SIGNED, "credential_id", "sign_count", "user_verified", "origin"),
            assertion or ())
    for member in SIGNED:
        from_b64u(assertion[member])
    text(assertion["credential_id"])
    uint(assertion["sign_count"], 32)
    flag(assertion["user_verified"])
    text(assertion["origin"])


def check(assertion, rp_id, challenge, report):
    """Judges an assertion (typed) over a challenge (32 bytes). Raises Refusal."""
    key, data, client, signature = (from_b64u(assertion[member]) for member in SIGNED)
    alg, public = _cose_key(key)
    flags = data[32] if len(data) >= 37 else 0
    verified = assertion["user_verified"]
    for code, wrong in (
        ("authenticator_data", len(data) < 37),
        ("relying_party", data[:32] != sha256(rp_id.encode())),
        ("user_not_present", not flags & 1),
        ("contradiction", bool(flags & 4) != verified),
        ("user_not_verified", not verified),
        ("contradiction", data[33:37] != assertion["sign_count"].to_bytes(4, "big")),
    ):
        if wrong:
            raise Refusal(f"assertion_{code}", "the authenticator signed something else")
    client_data = parse_json(client, "assertion_client_data")
    required = ("type", "challenge", "origin")
    members(client_data, required, client_data, code="assertion_client_data")
    for code, wrong in (
        ("type", client_data["type"] != "webauthn.get"),
        ("challenge", client_data["challenge"] != b64u(challenge)),
        ("origin", client_data["origin"] != assertion["origin"]),
        ("cross_origin", client_data.get("crossOrigin", False) is not False),
    ):
        if wrong:
            raise Refusal(f"assertion_{code}", "the customer's own signature does not hold")
    verdict = verify_credential(alg, public, data + sha256(client), signature)
    if verdict is False:
        raise Refusal("assertion_bad_signature", "the customer's own signature does not hold")
    if verdict is None:
        report.unverified.append("the customer's ML-DSA signature: not verified by this tool")


def backup_eligible(assertion):
    """Whether the authenticator signed that the passkey may be copied."""
    return bool(from_b64u(assertion["authenticator_data"])[32] & BACKUP_ELIGIBLE)


def _cose_key(data):
    """(COSE algorithm, public key) of a COSE_Key; of RSA the key is (n, e)."""
    try:
        key = _parameters(data)
    except Refusal as refusal:
        raise Refusal("assertion_key", str(refusal)) from refusal
    kty, alg = key.get(1), key.get(3)
    curve = key.get(-1) if kty in (1, 2) else None
    first = key.get(-2 if kty in (1, 2) else -1, b"")
    second = key.get(-3 if kty == 2 else -2) if kty in (2, 3) else None
    if kty == 2 and alg in POINTS:
        wanted, width = POINTS[alg]
        if curve == wanted and len(first) == width and len(second or b"") == width:
            return alg, b"\x04" + first + second
    if alg in ALONE and second is None and (kty, curve, len(first)) == ALONE[alg]:
        return alg, first
    if kty == 3 and alg in (-257, -37) and second is not None:
        # RFC 8230 section 4: no leading zeros.
        if all(1 <= len(number) <= 1024 and number[0] for number in (first, second)):
            return alg, (first, second)
    raise Refusal("assertion_key", "no key of an algorithm that is judged")


def _parameters(data):
    key = {}
    reader = Reader(data)
    for _ in reader.items(5):
        label, kty = reader.int(), key.get(1)
        number = label in (1, 3) or (label == -1 and kty in (1, 2))
        known = number or (label, kty) in ((-1, 3), (-1, 7), (-2, 1), (-2, 2), (-2, 3), (-3, 2))
        if label in key or not known:
            raise Refusal("", "a parameter twice, an unknown one, or one before kty")
        key[label] = reader.int() if number else reader.bytes()
    reader.end()
    return key
