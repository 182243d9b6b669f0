"""What a document binds: nonce, preimage of `user_data`, keys (enclave/SPEC.md section 7)."""

from dataclasses import dataclass

from . import document as documents
from . import jwk
from .note import Key
from .refusal import (
    Refusal, b64u, from_b64u, from_hex, listed, members, parse_json, sha256, sha384, text, uint,
)

MALFORMED = "preimage_malformed"
NO_SESSION = sha256(b"redoubt/nonce/v1\x00\x00\x00\x00\x00")


@dataclass
class Boot:
    """One boot whose document was judged. Digests are hex, ledger ids 16 bytes."""

    document: documents.Document
    preimage: dict
    ledgers: dict
    note_key: Key
    es256: tuple
    mldsa65: tuple

    @property
    def appliance_ledger(self):
        """The ledger bound without a tenant, if there is exactly one."""
        own = [ledger for ledger, tenant in self.ledgers.items() if tenant is None]
        return own[0] if len(own) == 1 else None


def session_nonce(client_nonce, exporter):
    """`nonce` of a document made for a TLS session: SHA-256 over mode 1, the framed
    client nonce, and the session's 32-byte exporter (RFC 9266)."""
    length = len(client_nonce).to_bytes(4, "big")
    return sha256(b"redoubt/nonce/v1\x01", length, client_nonce, exporter)


def judge(kept, trust, at_ms=None):
    """Judges one `{"document","preimage"[,"client_nonce","exporter"]}` (base64url) of
    purpose `serve` under a Trust. Returns a Boot; raises Refusal."""
    data, preimage = from_b64u(kept["document"]), from_b64u(kept["preimage"])
    document = under_any_root(data, trust, at_ms)
    if document.debug and not trust.allow_debug:
        raise Refusal("debug", "debug mode: the enclave's memory is readable from the host")
    if trust.manifest:
        _check_measurement(document, trust.manifest)
    nonce = NO_SESSION
    if kept.get("client_nonce") is not None:
        exporter = from_b64u(kept.get("exporter", ""), "wrong_nonce")
        if len(exporter) != 32:
            raise Refusal("wrong_nonce", "an exporter has 32 bytes")
        nonce = session_nonce(from_b64u(kept["client_nonce"], "wrong_nonce"), exporter)
    if document.nonce != nonce:
        raise Refusal("wrong_nonce", "the nonce is not made from this session: relayed or replayed")
    if document.user_data != sha384(preimage):
        raise Refusal("wrong_user_data", "the preimage is not the one the document commits to")
    return _bound(document, preimage, trust)


def under_any_root(data, trust, at_ms):
    """The Document in `data` under one of the pinned roots; raises the first Refusal if it
    is no root's, else that of the root it names."""
    refusal = None
    for root in trust.roots:
        try:
            return documents.verify(data, root, at_ms)
        except Refusal as error:
            # It may still be another root's.
            if error.code not in ("root_not_pinned", "unsigned", "not_unsigned"):
                raise
            refusal = refusal or error
    raise refusal or Refusal("root_not_pinned", "none of the manifest's roots is asked for")


def _check_measurement(document, manifest):
    for allowed in manifest["measurements"]:
        wanted = allowed["pcrs"].items()
        if allowed["role"] == "enclave" and all(
            document.pcrs.get(int(index), b"").hex() == value for index, value in wanted
        ):
            return
    raise Refusal("measurement_not_allowed", "no measurement of the pinned genesis matches")


def _bound(document, data, trust):
    preimage = parse_json(data, MALFORMED)
    names = "type purpose genesis genesis_counter ledgers config policy models boot_keys"
    members(preimage, [*names.split(), "ca_spki_sha256", "head", "term"], code=MALFORMED)
    if preimage["type"] != "redoubt/binding/v1":
        raise Refusal(MALFORMED, "no binding of an enclave")
    for name in ("genesis", "config", "policy", "models"):
        from_hex(preimage[name], 32, MALFORMED)
    uint(preimage["genesis_counter"], code=MALFORMED)
    keys = preimage["boot_keys"]
    names = "tls_spki receipt_es256 receipt_mldsa65 checkpoint_ed25519 unseal_xwing"
    members(keys, names.split(), code=MALFORMED)
    mldsa65 = jwk.ml_dsa_65(keys["receipt_mldsa65"], MALFORMED)
    boot = Boot(
        document,
        preimage,
        _ledgers(preimage["ledgers"]),
        Key(jwk.ed25519(keys["checkpoint_ed25519"], MALFORMED), mldsa65[0]),
        jwk.p256(keys["receipt_es256"], MALFORMED),
        mldsa65,
    )
    spki = from_b64u(keys["tls_spki"], MALFORMED)
    from_b64u(keys["unseal_xwing"], MALFORMED)
    if preimage["purpose"] != "serve":
        raise Refusal("wrong_purpose", f"for {preimage['purpose']!r}, not for serve")
    if trust.manifest:
        _check_genesis(preimage, trust)
    if document.public_key != spki:
        raise Refusal("wrong_public_key", "public_key is not the key of its purpose")
    return boot


def _ledgers(entries):
    ledgers = {}
    for entry in listed(entries, MALFORMED):
        members(entry, ("ledger",), ("tenant",), code=MALFORMED)
        tenant = entry.get("tenant")
        ledgers[from_hex(entry["ledger"], 16, MALFORMED)] = (
            None if tenant is None else text(tenant, MALFORMED)
        )
    return ledgers


def _check_genesis(preimage, trust):
    if preimage["genesis"] != trust.digest:
        raise Refusal("other_genesis", "set up under another genesis: not your appliance")
    minimum = max(trust.minimum_counter, trust.manifest["counter"])
    if min(preimage["genesis_counter"], trust.manifest["counter"]) < minimum:
        raise Refusal("counter_too_low", f"the genesis counter is below {minimum}")


def note_unsigned(boots, report):
    """What `boots`' documents are, in a word; says in `report` if nobody signed one."""
    report.facts["signed"] = all(boot.document.signed for boot in boots)
    if report.facts["signed"]:
        return "genuine"
    report.unverified.append(documents.NOBODY_SIGNED)
    return "unsigned, as an emulated genesis allows,"


def describe(boot):
    """Facts of a Boot for people and programs."""
    return {
        "document": boot.document.sha256.hex(),
        "genesis": boot.preimage["genesis"],
        "genesis_counter": boot.preimage["genesis_counter"],
        "term": boot.preimage["term"],
        "public_key": b64u(boot.document.public_key),
    }
