"""What one request may ask of the server, and how many may at once."""

from dataclasses import asdict, dataclass

MIB = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds of the server.

    body_mib: of a request's body, refused with 413 before more is read. media: images, clips and listed frames of a
    request. pixels: of one picture or frame; decoded_mib: of all decoded media of a request. at_once: requests that
    are read, decoded, waiting or answered; one more gets 429. read_s: for a body to arrive. decode_s: of processor
    time, and as much again of waiting, to decode a request's media, and decode_mib: memory of the process that does.
    answer_s: from the whole request to its last token. max_tokens: that a request may ask for.
    """

    body_mib: float = 64.0
    media: int = 64
    pixels: int = 40_000_000
    decoded_mib: int = 1024
    at_once: int = 8
    read_s: float = 30.0
    decode_s: float = 30.0
    decode_mib: int = 4096
    answer_s: float = 300.0
    max_tokens: int = 4096

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if value <= 0:
                raise ValueError(f"limits.{name}: expected more than 0, got {value}")

    @property
    def body_bytes(self) -> int:
        """Return the most bytes of a body."""
        return int(self.body_mib * MIB)

    @property
    def decoded_bytes(self) -> int:
        """Return the most bytes of decoded media."""
        return self.decoded_mib * MIB
