"""The part of CBOR (RFC 8949) that attestation documents and COSE keys use, read strictly.

Protects against a document that two readers understand differently: wrong types,
trailing bytes and chunked strings are refused, nothing is skipped.
"""

from .refusal import Refusal

UNTIL_BREAK = -1


class Reader:
    """Reads values from bytes, front to back; `code` of refusals is the stable name."""

    def __init__(self, data):
        self.data = data
        self.at = 0

    def take(self, count):
        """The next `count` bytes, or refusal `truncated`."""
        if count > len(self.data) - self.at:
            raise Refusal("truncated", "it ends inside a value")
        self.at += count
        return self.data[self.at - count : self.at]

    def end(self):
        """Nothing may follow, or refusal `trailing_bytes`."""
        if self.at != len(self.data):
            raise Refusal("trailing_bytes", "bytes follow its end")

    def head(self):
        """Major type and argument (RFC 8949 section 3); the argument of an indefinite
        length is None."""
        initial = self.take(1)[0]
        major, info = initial >> 5, initial & 31
        if info < 24:
            return major, info
        if info < 28:
            return major, int.from_bytes(self.take(1 << (info - 24)), "big")
        if info == 31 and major in (2, 3, 4, 5):
            return major, None
        raise Refusal("reserved_encoding", "a value has a reserved encoding")

    def expect(self, major):
        """The argument of the next head if its major type is the one given."""
        found, argument = self.head()
        if found != major:
            raise Refusal("wrong_type", f"major type {found} stands where {major} belongs")
        return argument

    def uint(self):
        """An unsigned integer."""
        return self.expect(0)

    def int(self):
        """An integer of either sign that fits 64 bits."""
        major, argument = self.head()
        if argument is None or argument >= 1 << 63:
            raise Refusal("reserved_encoding", "an integer does not fit 64 bits")
        if major not in (0, 1):
            raise Refusal("wrong_type", "no integer where one belongs")
        return argument if major == 0 else -1 - argument

    def _string(self, major):
        length = self.expect(major)
        if length is None:
            raise Refusal("chunked_string", "a string is sent in chunks")
        return self.take(length)

    def bytes(self):
        """A byte string."""
        return self._string(2)

    def text(self):
        """A text string."""
        try:
            return self._string(3).decode("utf-8")
        except UnicodeDecodeError as error:
            raise Refusal("not_utf8", "a text is not UTF-8") from error

    def bytes_or_null(self):
        """A byte string, or None for null."""
        if self.data[self.at : self.at + 1] == b"\xf6":
            self.at += 1
            return None
        return self.bytes()

    def tag(self):
        """The tag in front of the next value, or None."""
        if self.at < len(self.data) and self.data[self.at] >> 5 == 6:
            return self.expect(6)
        return None

    def items(self, major):
        """Yields once before each item (4: array) or pair (5: map) that follows."""
        left = self.expect(major)
        if left is None:
            while self._peek() != 0xFF:
                yield
            self.at += 1
            return
        for _ in range(left):
            yield

    def _peek(self):
        if self.at >= len(self.data):
            raise Refusal("truncated", "it ends inside a value")
        return self.data[self.at]


def byte_string(data):
    """A byte string in its shortest encoding (RFC 8949 section 4.2.1)."""
    length = len(data)
    if length < 24:
        return bytes([0x40 | length]) + data
    for width, info in ((1, 24), (2, 25), (4, 26)):
        if length < 1 << 8 * width:
            return bytes([0x40 | info]) + length.to_bytes(width, "big") + data
    raise ValueError("longer than any document")
