"""The artefact of an approval: JWS (RFC 7515), challenge, WebAuthn assertion (Level 3
section 7.2), as enclave/SPEC.md section 6 says."""

import json

from . import jwk, receipt
from .cbor import Reader
from .refusal import (
    TENANT, USER, Refusal, b64u, flag, from_b64u, listed, members, name, parse_json, sha256, text, uint,
)
from .signatures import verify_es256, verify_es256_der, verify_ml_dsa_65

TYP = "redoubt-approval+jws"
INPUT = ("domain", "tenant", "rp_id", "user_id", "purpose", "expires_ms", "nonce")
SIGNED = ("public_key_cose", "authenticator_data", "client_data_json", "signature")
SAFE_INTEGER = (1 << 53) - 1


def verify(artefact, trust, at_ms, report):
    """Judges an artefact (parsed JSON) under a Trust; fills `report`. Raises Refusal."""
    members(artefact, ("payload", "signatures", "receipt", "tenant_keys"))
    claims, boot = receipt.verify(artefact["receipt"], trust, at_ms, report)
    payload = from_b64u(artefact["payload"])
    if payload != artefact["receipt"]["claims"].encode():
        raise Refusal("other_claim", "the payload is not the claim its receipt proves")
    _typed(claims)
    if (claims["type"], claims["decision"]) != ("approval", "approved"):
        raise Refusal("not_an_approval", "the claim is no approval that was given")
    report.passed("payload is the receipted claim")
    both = _check_signatures(artefact, claims, boot, report)
    report.passed(f"tenant and enclave signed it with ES256{' and ML-DSA-65' if both else ''}")
    challenge = _check_challenge(claims)
    report.passed("challenge is made from exactly this transaction")
    _check_assertion(claims, challenge)
    report.passed("customer's own key signed that challenge")
    report.facts.update(
        transaction=claims["transaction"],
        origin=claims["assertion"]["origin"],
        challenge=challenge.hex(),
    )


def _typed(claims):
    """Checks the type of every member that an approval's claims need; Refusal `malformed`."""
    for member in ("type", "decision", "tenant_key_es256", "tenant_key_mldsa65"):
        text(claims.get(member))
    name(claims.get("user_id"), USER)
    uint(claims.get("time_ms"))
    _bytes_of(claims.get("challenge"), 32)
    if "transaction" not in claims:
        raise Refusal("malformed", "no member transaction")
    given = members(claims.get("challenge_input"), (*INPUT, "transaction_jcs"))
    for member in ("domain", "rp_id", "purpose", "transaction_jcs"):
        text(given[member])
    name(given["tenant"], TENANT)
    name(given["user_id"], USER)
    uint(given["expires_ms"])
    _bytes_of(given["nonce"], 32)
    assertion = claims.get("assertion")
    members(assertion, (*SIGNED, "credential_id", "sign_count", "user_verified", "origin"),
            assertion or ())
    for member in SIGNED:
        from_b64u(assertion[member])
    text(assertion["credential_id"])
    uint(assertion["sign_count"], 32)
    flag(assertion["user_verified"])
    text(assertion["origin"])


def _bytes_of(value, length):
    data = from_b64u(value)
    if len(data) != length:
        raise Refusal("malformed", f"not {length} bytes")
    return data


def _check_signatures(artefact, claims, boot, report):
    """Raises Refusal; returns whether ML-DSA-65 could be judged, too."""
    keys = listed(artefact["tenant_keys"])
    if len(keys) != 2:
        raise Refusal("malformed", "tenant_keys are two")
    es256, mldsa65 = jwk.p256(keys[0]), jwk.ml_dsa_65(keys[1])
    named = (claims.get("tenant_key_es256"), claims.get("tenant_key_mldsa65"))
    if (es256[1], mldsa65[1]) != named:
        raise Refusal("tenant_keys", "the claim names other keys")
    signatures = listed(artefact["signatures"])
    if len(signatures) != 4:
        raise Refusal("signatures", f"{len(signatures)} where 4 belong")
    headers = [_header(signature) for signature in signatures]
    judged = True
    for alg, check, (public, kid) in (
        ("ES256", verify_es256, es256),
        ("ML-DSA-65", verify_ml_dsa_65, mldsa65),
        ("ES256", verify_es256, boot.es256),
        ("ML-DSA-65", verify_ml_dsa_65, boot.mldsa65),
    ):
        wanted = {"alg": alg, "kid": kid, "typ": TYP}
        if wanted not in headers:
            raise Refusal("signatures", f"the {alg} one of {kid} is missing")
        signature = signatures[headers.index(wanted)]
        message = f"{signature['protected']}.{artefact['payload']}".encode()
        verdict = check(public, message, from_b64u(signature["signature"], "jws"))
        if verdict is False:
            raise Refusal("bad_signature", f"the {alg} signature of {kid} does not verify")
        if verdict is None:
            judged = False
            report.unverified.append(f"ML-DSA-65 signature of {kid}: not verified by this tool")
    return judged


def _header(signature):
    members(signature, ("protected", "signature"))
    header = parse_json(from_b64u(signature["protected"], "jws"), "jws")
    return members(header, ("alg", "kid"), ("typ",), code="jws")


def _check_challenge(claims):
    given = claims["challenge_input"]
    same = {
        "domain": given["domain"] == "redoubt/approval/v1",
        "purpose": given["purpose"] == "approval",
        "tenant": given["tenant"] == claims["tenant"],
        "user_id": given["user_id"] == claims["user_id"],
        "transaction": given["transaction_jcs"] == jcs(claims["transaction"]),
    }
    for member, equal in same.items():
        if not equal:
            raise Refusal("challenge", f"{member} differs from what the challenge is made from")
    expires = given["expires_ms"]
    if claims["time_ms"] > expires:
        raise Refusal("expired", "recorded after its challenge had expired")
    frames = [given[member].encode() for member in INPUT[:5]]
    frames += [expires.to_bytes(8, "big"), from_b64u(given["nonce"]), given["transaction_jcs"].encode()]
    challenge = sha256(*(len(one).to_bytes(4, "big") + one for one in frames))
    if from_b64u(claims["challenge"]) != challenge:
        raise Refusal("challenge", "it is not the digest of its input")
    return challenge


def jcs(value):
    """The canonical text (RFC 8785) of a value whose numbers are integers."""

    def check(part):
        if type(part) in (float, int) and not (type(part) is int and abs(part) <= SAFE_INTEGER):
            raise Refusal("malformed", "a number that is no integer of 53 bits")
        if isinstance(part, dict):
            order = sorted(part, key=lambda name: name.encode("utf-16-be"))
            return {name: check(part[name]) for name in order}
        return [check(one) for one in part] if isinstance(part, list) else part

    return json.dumps(check(value), ensure_ascii=False, separators=(",", ":"))


def _check_assertion(claims, challenge):
    assertion = claims["assertion"]
    key, data, client, signature = (from_b64u(assertion[member]) for member in SIGNED)
    point = _cose_key(key)
    flags = data[32] if len(data) >= 37 else 0
    rp = sha256(claims["challenge_input"]["rp_id"].encode())
    verified = assertion["user_verified"]
    for code, wrong in (
        ("authenticator_data", len(data) < 37),
        ("relying_party", data[:32] != rp),
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
        ("bad_signature", not verify_es256_der(point, data + sha256(client), signature)),
    ):
        if wrong:
            raise Refusal(f"assertion_{code}", "the customer's own signature does not hold")


def _cose_key(data):
    """The P-256 point of an ES256 COSE_Key (RFC 9053 section 7.1)."""
    key = {}
    try:
        reader = Reader(data)
        for _ in reader.items(5):
            label = reader.int()
            if label in key or label not in (1, 3, -1, -2, -3):
                raise Refusal("", "a parameter twice, or an unknown one")
            key[label] = reader.bytes() if label < -1 else reader.int()
        reader.end()
    except Refusal as refusal:
        raise Refusal("assertion_key", str(refusal)) from refusal
    x, y = key.get(-2, b""), key.get(-3, b"")
    if (key.get(1), key.get(3), key.get(-1)) != (2, -7, 1) or len(x) != 32 or len(y) != 32:
        raise Refusal("assertion_key", "no ES256 key")
    return b"\x04" + x + y
