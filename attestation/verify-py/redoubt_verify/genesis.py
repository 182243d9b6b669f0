"""The signed genesis manifest that a client policy pins (enclave/SPEC.md section 11).

JWS JSON general serialization (RFC 7515 section 7.2.1), ES256 by k distinct officers over
the payload as received.
"""

from dataclasses import dataclass, field

from . import jwk
from .document import AWS_ROOT_G1, UNSIGNED
from .refusal import Refusal, from_b64u, from_hex, listed, members, parse_json, sha256, text, uint
from .signatures import verify_es256

REQUIRED = (
    "type name environment counter threshold officers secret_commitment vendor_roots "
    "measurements witnesses custodians created_ms"
).split()
BEFORE_MAX = 64
OPTIONAL = ("witness_policy", "custodian_threshold", "previous")


def _refuse(why):
    return Refusal("trust", why)


@dataclass
class Trust:
    """What was pinned. `roots` are hex SHA-256, or UNSIGNED; `manifest` is None where only a root is
    pinned, and then `digest` too. `before` are the manifests before it, the last one first."""

    roots: list
    manifest: dict = None
    digest: str = None
    minimum_counter: int = 0
    allow_debug: bool = False
    witnesses: dict = field(default_factory=dict)
    before: list = field(default_factory=list)

    @property
    def environment(self):
        """`hardware`, `emulated`, or None where no manifest says it."""
        return self.manifest and self.manifest["environment"]

    def named(self, preimage):
        """The Trust of the manifest, of this line, that a preimage (bytes) names; this one
        if it names none of them."""
        if not self.before:
            return self
        try:
            said = parse_json(preimage)
        except Refusal:
            return self  # Whoever judges the document says what is wrong with it.
        digest = said.get("genesis") if isinstance(said, dict) else None
        return next((one for one in self.before if one.digest == digest), self)


def from_policy(data, root_der):
    """The Trust of a client policy file (bytes). `root_der(pem)` gives the DER of one
    certificate. Raises Refusal `trust`."""
    policy = parse_json(data, "trust")
    names = ("type", "genesis", "genesis_jws", "minimum_counter", "allow_debug")
    members(policy, names, ("before",), code="trust")
    if policy["type"] != "redoubt/client-policy/v1":
        raise _refuse("no client policy")
    trust = from_genesis(policy["genesis_jws"], root_der)
    if trust.digest != policy["genesis"]:
        raise _refuse("the manifest inside is not the one that is pinned")
    trust.minimum_counter = uint(policy["minimum_counter"], code="trust")
    if trust.manifest["counter"] < trust.minimum_counter:
        raise _refuse("the pinned manifest was superseded")
    trust.allow_debug = policy["allow_debug"] is True
    trust.before = _line(policy, trust, root_der)
    return trust


def _line(policy, trust, root_der):
    """The Trusts of the manifests before the pinned one, each succeeded by the next."""
    envelopes, following = listed(policy.get("before", []), "trust"), policy["genesis_jws"]
    if len(envelopes) > BEFORE_MAX:
        raise _refuse("too many manifests before the pinned one")
    after, line = trust, []
    for envelope in envelopes:
        one = from_genesis(envelope, root_der)
        one.minimum_counter, one.allow_debug = one.manifest["counter"], trust.allow_debug
        _check_successor(one, after, following)
        line.append(one)
        after, following = one, envelope
    return line


def _check_successor(old, new, envelope):
    if new.manifest.get("previous") != old.digest:
        raise _refuse("a manifest that does not name the one before it")
    if new.manifest["counter"] <= old.manifest["counter"]:
        raise _refuse("a manifest whose counter is no higher than that of the one before it")
    if new.environment != old.environment:
        raise _refuse("a manifest of another environment than the one before it")
    present = {o["id"]: o["key"] for o in new.manifest["officers"]}
    for officer in old.manifest["officers"]:
        if present.get(officer["id"], officer["key"]) != officer["key"]:
            raise _refuse(f"officer {officer['id']!r} has another key than before")
    officers = {o["id"]: jwk.p256(o["key"], "trust")[0] for o in old.manifest["officers"]}
    allowed = {**officers, **{o["id"]: None for o in new.manifest["officers"]}}
    signed = set()
    for signature in envelope["signatures"]:
        kid = parse_json(from_b64u(signature["protected"], "trust"), "trust")["kid"]
        if kid not in allowed:
            raise _refuse(f"officer {kid!r} is in neither manifest")
        message = f"{signature['protected']}.{envelope['payload']}".encode()
        if kid in officers:
            value = from_b64u(signature["signature"], "trust")
            if kid in signed or not verify_es256(officers[kid], message, value):
                raise _refuse(f"officer {kid!r}: repeated, or a signature that does not verify")
            signed.add(kid)
    if len(signed) < old.manifest["threshold"]:
        raise _refuse(f"{len(signed)} officers of the manifest before signed")


def from_genesis(envelope, root_der):
    """The Trust of a signed manifest (its envelope as parsed JSON). Raises Refusal."""
    members(envelope, ("payload", "signatures"), code="trust")
    payload = from_b64u(envelope["payload"], "trust")
    manifest = members(parse_json(payload, "trust"), REQUIRED, OPTIONAL, code="trust")
    if manifest["type"] != "redoubt/genesis/v1":
        raise _refuse("no genesis manifest")
    if manifest["environment"] not in ("hardware", "emulated"):
        raise _refuse("environment is neither hardware nor emulated")
    if uint(manifest["counter"], code="trust") == 0:
        raise _refuse("the counter starts at 1")
    _check_signatures(envelope, payload, manifest)
    _check_measurements(manifest)
    witnesses = {w["name"]: jwk.ed25519(w["key"], "trust") for w in manifest["witnesses"]}
    _check_witnesses(manifest, witnesses)
    roots = [_root(entry, manifest, root_der) for entry in manifest["vendor_roots"]]
    if not roots:
        raise _refuse("no vendor root")
    return Trust(roots, manifest, sha256(payload).hex(), witnesses=witnesses)


def _check_signatures(envelope, payload, manifest):
    officers = {o["id"]: jwk.p256(o["key"], "trust")[0] for o in listed(manifest["officers"])}
    count, threshold = len(manifest["officers"]), uint(manifest["threshold"], 8, "trust")
    if len(officers) != count or len(set(officers.values())) != count:
        raise _refuse("officers share an id or a key: one key, one voice")
    if not 1 <= threshold <= count:
        raise _refuse("the threshold is not 1 to the number of officers")
    signed = set()
    for signature in listed(envelope["signatures"], "trust"):
        members(signature, ("protected", "signature"), code="trust")
        header = parse_json(from_b64u(signature["protected"], "trust"), "trust")
        members(header, ("alg", "kid"), ("typ",), code="trust")
        kid = header["kid"]
        if header["alg"] != "ES256":
            raise _refuse("officers sign with ES256")
        if kid not in officers:
            # A successor is signed by the officers before it as well.
            if manifest.get("previous") is None:
                raise _refuse(f"no officer {kid!r} in the manifest")
            continue
        message = f"{signature['protected']}.{envelope['payload']}".encode()
        good = verify_es256(officers[kid], message, from_b64u(signature["signature"], "trust"))
        if kid in signed or not good:
            raise _refuse(f"officer {kid!r}: repeated, or a signature that does not verify")
        signed.add(kid)
    if len(signed) < threshold:
        raise _refuse(f"{len(signed)} officers signed; {threshold} are needed")


def _check_measurements(manifest):
    measurements = listed(manifest["measurements"], "trust")
    if not any(m["role"] == "enclave" for m in measurements):
        raise _refuse("no image of role enclave")
    for measurement in measurements:
        members(measurement, ("role", "tier", "pcrs"), code="trust")
        if "0" not in measurement["pcrs"]:
            raise _refuse("a measurement without PCR 0")
        for index, value in measurement["pcrs"].items():
            zero = not any(from_hex(value, 48, "trust")) and int(index) < 3
            if int(index) > 31 or (zero and manifest["environment"] == "hardware"):
                raise _refuse("a register beyond 31, or debug mode allowed for hardware")


def _check_witnesses(manifest, witnesses):
    n, policy = len(manifest["witnesses"]), manifest.get("witness_policy")
    if len(witnesses) != n or len(set(witnesses.values())) != n:
        raise _refuse("witnesses share a name or a key")
    if (policy is None) != (n == 0):
        raise _refuse("witness_policy is there iff witnesses are")
    if policy is not None:
        members(policy, ("k", "f", "mode"), ("lease_ms",), code="trust")
        k, f = uint(policy["k"], 8, "trust"), uint(policy["f"], 8, "trust")
        if k > n or 2 * k <= n + f:
            raise _refuse("two quorums of witnesses need not overlap")


def _root(entry, manifest, root_der):
    members(entry, ("kind", "pem"), code="trust")
    pem = text(entry["pem"], "trust")
    if entry["kind"] == "nitro":
        if pem and sha256(root_der(pem)).hex() != AWS_ROOT_G1:
            raise _refuse("kind nitro is AWS Nitro Enclaves root G1 and no other")
        return AWS_ROOT_G1
    if entry["kind"] not in ("nitro_emulated", UNSIGNED):
        raise _refuse(f"no kind of root is named {entry['kind']!r}")
    if manifest["environment"] != "emulated":
        raise _refuse("an emulated root stands only where the environment is emulated")
    if entry["kind"] == UNSIGNED:
        if pem:
            raise _refuse("nobody signs under nitro_unsigned; its pem is empty")
        return UNSIGNED
    return sha256(root_der(pem)).hex()
