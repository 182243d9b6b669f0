"""The artefact of an approval or a rejection: JWS (RFC 7515), challenge, transaction, and
the answers of everybody who had to, as enclave/SPEC.md section 6 says."""

import json
import re

from . import assertion, jwk, receipt
from .refusal import (
    TENANT, USER, Refusal, from_b64u, from_hex, listed, members, name, parse_json, sha256, text, uint,
)
from .signatures import verify_es256, verify_ml_dsa_65

APPROVAL, SEVERAL, REJECTION = (
    "redoubt-approval+jws", "redoubt-approval-v2+jws", "redoubt-rejection+jws",
)
TYPS = {("approved", None): APPROVAL, ("approved", 2): SEVERAL, ("rejected", None): REJECTION}
INPUT = ("domain", "tenant", "rp_id", "user_id", "purpose", "expires_ms", "nonce")
ASKED = ("approvers", "needed", "devices", "factors")
AMOUNT = re.compile(r"(0|[1-9][0-9]{0,14})(?:\.([0-9]{1,4}))?")
PAYMENTS_MAX, GRANTS_MAX = 100, 64
SAFE_INTEGER = (1 << 53) - 1


def verify(artefact, trust, at_ms, report):
    """Judges an artefact (parsed JSON) under a Trust; fills `report`. Raises Refusal."""
    members(artefact, ("payload", "signatures", "receipt", "tenant_keys"), ("grants",))
    grants = listed(artefact.get("grants", []))
    claims, boot = receipt.verify(artefact["receipt"], trust, at_ms, report)
    payload = from_b64u(artefact["payload"])
    if payload != artefact["receipt"]["claims"].encode():
        raise Refusal("other_claim", "the payload is not the claim its receipt proves")
    typ = _typ(claims)
    _typed(claims)
    for member in ("tenant_key_es256", "tenant_key_mldsa65"):
        text(claims.get(member))
    report.passed("payload is the receipted claim")
    both = _check_signatures(artefact, claims, boot, typ, report)
    report.passed(f"tenant and enclave signed it with ES256{' and ML-DSA-65' if both else ''}")
    challenge = _check_challenge(claims, "rejection" if typ == REJECTION else "approval")
    report.passed("challenge is made from exactly this transaction")
    assertion.check(claims["assertion"], claims["challenge_input"]["rp_id"], challenge, report)
    report.passed("customer's own key signed that challenge")
    if typ == SEVERAL:
        people = Count(claims, trust, at_ms, report).check(grants, challenge)
    elif grants:
        raise Refusal("grants", "answers where none belong")
    else:
        people = [claims["user_id"]]
    report.passed("as many people, devices and factors as were asked for")
    if claims.get("closes") is not None:
        report.facts["closes"] = claims["closes"]
    report.facts.update(
        decision=claims["decision"],
        people=people,
        transaction=claims["transaction"],
        origin=claims["assertion"]["origin"],
        challenge=challenge.hex(),
    )


def _typ(claims):
    """The `typ` that signatures over these claims bear; Refusal if they make no artefact."""
    version = claims.get("version")
    told = isinstance(claims.get("decision"), str) and (version is None or type(version) is int)
    found = TYPS.get((claims["decision"], version)) if told else None
    if claims.get("type") != "approval" or claims.get("assertion") is None or not found:
        raise Refusal("not_an_approval", "the claim is no approval that was given")
    return found


def _typed(claims):
    """Checks the type of every member that a signed answer's claims need; Refusal `malformed`."""
    for member in ("type", "decision"):
        text(claims.get(member))
    name(claims.get("tenant"), TENANT)
    name(claims.get("user_id"), USER)
    uint(claims.get("time_ms"))
    _bytes_of(claims.get("challenge"), 32)
    if "transaction" not in claims:
        raise Refusal("malformed", "no member transaction")
    if claims.get("version") is not None:
        uint(claims["version"])
    if claims.get("approval_id") is not None:
        text(claims["approval_id"])
    if claims.get("closes") is not None and type(claims["closes"]) is not bool:
        raise Refusal("malformed", "closes is not true or false")
    given = members(claims.get("challenge_input"), (*INPUT, "transaction_jcs"))
    for member in ("domain", "rp_id", "purpose", "transaction_jcs"):
        text(given[member])
    name(given["tenant"], TENANT)
    name(given["user_id"], USER)
    uint(given["expires_ms"])
    _bytes_of(given["nonce"], 32)
    assertion.typed(claims.get("assertion"))
    if claims.get("asked") is not None:
        asked = members(claims["asked"], ASKED)
        for member, bits in (("approvers", 16), ("needed", 16), ("devices", 8)):
            uint(asked[member], bits)
        for factor in listed(asked["factors"]):
            text(factor)
    if claims.get("grants") is not None:
        for one in listed(claims["grants"]):
            members(one, ("receipt_id", "claim"))
            text(one["receipt_id"])
            from_hex(one["claim"], 32)


def _bytes_of(value, length):
    data = from_b64u(value)
    if len(data) != length:
        raise Refusal("malformed", f"not {length} bytes")
    return data


def _check_signatures(artefact, claims, boot, typ, report):
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
        wanted = {"alg": alg, "kid": kid, "typ": typ}
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


def _check_challenge(claims, purpose):
    given = claims["challenge_input"]
    same = {
        "domain": given["domain"] == "redoubt/approval/v1",
        "purpose": given["purpose"] == purpose,
        "tenant": given["tenant"] == claims["tenant"],
        "user_id": given["user_id"] == claims["user_id"],
        "transaction": given["transaction_jcs"] == jcs(claims["transaction"]),
    }
    for member, equal in same.items():
        if not equal:
            raise Refusal("challenge", f"{member} differs from what the challenge is made from")
    _check_transaction(claims["transaction"])
    expires = given["expires_ms"]
    if claims["time_ms"] > expires:
        raise Refusal("expired", "recorded after its challenge had expired")
    frames = [given[member].encode() for member in INPUT[:5]]
    frames += [expires.to_bytes(8, "big"), from_b64u(given["nonce"]), given["transaction_jcs"].encode()]
    challenge = sha256(*(len(one).to_bytes(4, "big") + one for one in frames))
    if from_b64u(claims["challenge"]) != challenge:
        raise Refusal("challenge", "it is not the digest of its input")
    return challenge


def _check_transaction(transaction):
    """The total of a batch is the exact sum of its payments (RTS on SCA, art. 5)."""
    if not isinstance(transaction, dict) or "payments" not in transaction:
        return
    payments = transaction["payments"]
    if not isinstance(payments, list) or not 1 <= len(payments) <= PAYMENTS_MAX:
        raise Refusal("transaction", "payments are 1 to 100")
    total = 0
    for payment in payments:
        total += _amount(payment, "amount")
        if "currency" in payment:
            raise Refusal("transaction", "a payment has a currency of its own")
    if _amount(transaction, "total") != total:
        raise Refusal("transaction", "the total is not the sum of the payments")


def _amount(of, member):
    value = of.get(member) if isinstance(of, dict) else None
    found = AMOUNT.fullmatch(value) if isinstance(value, str) else None
    amount = int(found[1] + (found[2] or "").ljust(4, "0")) if found else 0
    if not amount:
        raise Refusal("transaction", "an amount is no decimal text above zero")
    return amount


# What a comparison of this modality counts as.
SAMPLES = {"facial": "faces", "voice": "voices"}


class Count:
    """Counts the answers of an approval that took several, while it judges them."""

    def __init__(self, completing, trust, at_ms, report):
        self.completing, self.trust, self.at_ms, self.report = completing, trust, at_ms, report
        self.people, self.seen = {}, set()

    def check(self, receipts, challenge):
        """Names of those who approved (sorted); `receipts` are the answers before the last."""
        claims = self.completing
        if any(claims.get(member) is None for member in ("asked", "approval_id", "grants")):
            raise Refusal("malformed", "version 2 without its members")
        if len(receipts) != len(claims["grants"]) or len(receipts) > GRANTS_MAX:
            raise Refusal("grants", "other receipts than the claim names")
        for one, named in zip(receipts, claims["grants"]):
            self._answer(one, named)
        self._passkey(claims, challenge)
        return self._complete()

    def _answer(self, one, named):
        if not isinstance(one, dict) or sha256(text(one.get("claims")).encode()).hex() != named["claim"]:
            raise Refusal("grants", "another claim than the one named")
        answer, _ = receipt.verify(one, self.trust, self.at_ms, self.report.muted())
        text(answer.get("type"))
        same = (text(answer.get("receipt_id")), answer["tenant"], text(answer.get("approval_id")))
        ours = self.completing
        if same != (named["receipt_id"], ours["tenant"], ours["approval_id"]):
            raise Refusal("grants", "an answer to another approval")
        if answer["type"] == "approval":
            self._grant(answer)
        elif answer["type"] == "verification":
            name(answer.get("user_id"), USER)
            if text(answer.get("verdict")) != "verified":
                raise Refusal("grants", "a face or voice that was not verified")
            # Claims of before voices name none.
            modality = answer.get("modality")
            kind = SAMPLES.get("facial" if modality is None else text(modality))
            if kind is None:
                raise Refusal("grants", "neither a face nor a voice")
            self._of(answer["user_id"])[kind] += 1
        else:
            raise Refusal("grants", "a claim that is no answer")

    def _grant(self, answer):
        _typed(answer)
        ours = self.completing
        rp_id = answer["challenge_input"]["rp_id"]
        if (
            (answer["decision"], answer.get("version")) != ("granted", 2)
            or answer.get("asked") != ours["asked"]
            or answer["transaction"] != ours["transaction"]
            or rp_id != ours["challenge_input"]["rp_id"]
        ):
            raise Refusal("grants", "an answer to something else")
        challenge = _check_challenge(answer, "approval")
        assertion.check(answer["assertion"], rp_id, challenge, self.report)
        self._passkey(answer, challenge)

    def _passkey(self, answer, challenge):
        given = answer["assertion"]
        for key in (("id", given["credential_id"]), ("key", given["public_key_cose"]), ("challenge", challenge)):
            if key in self.seen:
                raise Refusal("grants", f"one {key[0]} counted twice")
            self.seen.add(key)
        person = self._of(answer["user_id"])
        person["passkeys"] += 1
        person["copies"] += assertion.backup_eligible(given)

    def _of(self, user):
        return self.people.setdefault(user, {"passkeys": 0, "copies": 0, "faces": 0, "voices": 0})

    def _complete(self):
        asked = self.completing["asked"]
        passkey, *besides = asked["factors"] or [None]
        if passkey != "passkey" or besides not in ([], ["face"], ["voice"], ["face", "voice"]):
            raise Refusal("malformed", "factors are passkey, and behind it face, voice or both")
        whole = (asked["devices"], int("face" in besides), int("voice" in besides))
        sound = 1 <= asked["needed"] <= asked["approvers"] and asked["devices"] in (1, 2)
        if not sound or len(self.people) != asked["needed"]:
            raise Refusal("grants", "not as many people as were asked for")
        for person in self.people.values():
            given = (person["passkeys"], person["faces"], person["voices"])
            if given != whole or person["copies"] > 1:
                raise Refusal("grants", "somebody lacks a device or a factor")
        return sorted(self.people)


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
