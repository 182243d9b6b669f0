"""The signature algorithms of receipts, and what this tool cannot judge itself.

A signature that the library cannot verify is never counted as verified: it is named in
`unverified` of whoever asked.
"""

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

try:
    from cryptography.hazmat.primitives.asymmetric import mldsa
except ImportError:
    mldsa = None

ML_DSA_65_PUBLIC = 1952


def verify_ed25519(public, message, signature):
    """Whether an Ed25519 signature (RFC 8032; 32 and 64 bytes) verifies."""
    return _holds(lambda: ed25519.Ed25519PublicKey.from_public_bytes(public), message, signature)


def verify_es256(point, message, signature):
    """Whether r || s (64 bytes, RFC 7518 section 3.4) verifies under an uncompressed
    P-256 point (65 bytes)."""
    if len(signature) != 64:
        return False
    r, s = (int.from_bytes(half, "big") for half in (signature[:32], signature[32:]))
    return verify_credential(-7, point, message, encode_dss_signature(r, s))


def verify_credential(alg, key, message, signature):
    """Whether a customer's signature verifies under `key` (bytes; of RSA: n and e) with a
    COSE algorithm of CREDENTIALS; None if this installation of `cryptography` cannot say."""
    kind, detail = CREDENTIALS[alg]
    if kind == "ec":
        curve, digest = detail
        public = lambda: ec.EllipticCurvePublicKey.from_encoded_point(curve(), key)
        return _holds(public, message, signature, ec.ECDSA(digest()))
    if kind == "ed25519":
        return verify_ed25519(key, message, signature)
    if kind == "rsa":
        n, e = (int.from_bytes(number, "big") for number in key)
        # As the other implementations: 2048 to 8192 bits, exponent of at most 33 bits.
        if not 2048 <= n.bit_length() <= 8192 or e.bit_length() > 33:
            return False
        public = lambda: rsa.RSAPublicNumbers(e, n).public_key()
        return _holds(public, message, signature, detail(), hashes.SHA256())
    if mldsa is None:
        return None
    try:
        public = lambda: getattr(mldsa, detail).from_public_bytes(key)
        return _holds(public, message, signature)
    except UnsupportedAlgorithm:
        return None


# COSE algorithms (IANA) that a customer's key may have, and what judges them.
CREDENTIALS = {
    -7: ("ec", (ec.SECP256R1, hashes.SHA256)),
    -9: ("ec", (ec.SECP256R1, hashes.SHA256)),
    -35: ("ec", (ec.SECP384R1, hashes.SHA384)),
    -36: ("ec", (ec.SECP521R1, hashes.SHA512)),
    -8: ("ed25519", None),
    -19: ("ed25519", None),
    -257: ("rsa", padding.PKCS1v15),
    -37: ("rsa", lambda: padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.DIGEST_LENGTH)),
    -48: ("mldsa", "MLDSA44PublicKey"),
    -49: ("mldsa", "MLDSA65PublicKey"),
    -50: ("mldsa", "MLDSA87PublicKey"),
}


def verify_ml_dsa_65(public, message, signature):
    """Whether an ML-DSA-65 signature (FIPS 204, empty context) verifies; None if this
    installation of `cryptography` cannot say."""
    if mldsa is None:
        return None
    try:
        return _holds(lambda: mldsa.MLDSA65PublicKey.from_public_bytes(public), message, signature)
    except UnsupportedAlgorithm:
        return None


def _holds(key, message, signature, *algorithm):
    try:
        key().verify(signature, message, *algorithm)
        return True
    except (InvalidSignature, ValueError):
        return False
