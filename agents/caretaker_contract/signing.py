"""Commands are signed end to end with Ed25519: neither the broker nor another device can make one (invariant I6).

On the wire: {"key": "9f3c...", "body": base64 of the command's JSON, "signature": base64}. The signature covers a fixed
prefix and the very bytes of the body, so nothing has to be written the same way twice.
"""

import base64
import binascii
from typing import Annotated

import msgspec
from msgspec import Meta, Struct
from nacl.bindings import crypto_hash_sha256
from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey, VerifyKey

from caretaker_contract.errors import CommandError, ContractError
from caretaker_contract.messages import MAX_BYTES, Command, OutcomeReason, decode_command, encode

_PREFIX = b"caretaker-command-1\x00"
CLOCK_TOLERANCE_MS = 120_000
"""A command issued further than this in the machine's future shows that one of the two clocks is wrong."""


class SignedCommand(Struct, frozen=True, kw_only=True):
    """The envelope of a command."""

    key: Annotated[str, Meta(pattern=r"^[0-9a-f]{16}$")]
    body: Annotated[str, Meta(max_length=MAX_BYTES)]
    signature: Annotated[str, Meta(max_length=100)]


_decoder = msgspec.json.Decoder(SignedCommand)


def new_key() -> SigningKey:
    """A fresh signing key."""
    return SigningKey.generate()


def key_id(key: VerifyKey) -> str:
    """16 hex digits that name a public key."""
    # libsodium's SHA-256, which is loaded anyway: hashlib would bring OpenSSL, 4 MB resident in every agent.
    return crypto_hash_sha256(bytes(key)).hex()[:16]


def public_text(key: SigningKey) -> str:
    """The public half as 64 hex digits, as it stands in an agent's settings."""
    return bytes(key.verify_key).hex()


def read_public(text: str) -> VerifyKey:
    """The public key from its 64 hex digits; ContractError when it is none."""
    try:
        return VerifyKey(bytes.fromhex(text))
    except (ValueError, TypeError):
        raise ContractError("not a public key (64 hex digits)", "command_keys") from None


def sign(command: Command, key: SigningKey) -> bytes:
    """The bytes to publish on the device's command topic."""
    body = encode(command)
    signature = key.sign(_PREFIX + body).signature
    return msgspec.json.encode(
        SignedCommand(
            key=key_id(key.verify_key),
            body=base64.b64encode(body).decode(),
            signature=base64.b64encode(signature).decode(),
        )
    )


def verify(payload: bytes, keys: dict[str, VerifyKey], device: str, now_ms: int) -> Command:
    """The command in `payload`, if a known key signed it, for this `device` (school/device), valid at `now_ms`.

    Single use is the caller's to check (it needs a memory). Raises CommandError with the reason, never anything else.
    """
    if len(payload) > 2 * MAX_BYTES:
        raise CommandError(OutcomeReason.MALFORMED, f"{len(payload)} bytes are too many")
    try:
        envelope = _decoder.decode(payload)
        body = base64.b64decode(envelope.body, validate=True)
        signature = base64.b64decode(envelope.signature, validate=True)
    except (msgspec.MsgspecError, binascii.Error, ValueError, RecursionError) as error:
        raise CommandError(OutcomeReason.MALFORMED, str(error)) from None
    key = keys.get(envelope.key)
    if key is None:
        raise CommandError(OutcomeReason.UNKNOWN_KEY, f"no key {envelope.key} in this machine's settings")
    try:
        key.verify(_PREFIX + body, signature)
    except (BadSignatureError, ValueError, TypeError):
        raise CommandError(OutcomeReason.BAD_SIGNATURE, "the signature does not fit") from None
    try:
        command = decode_command(body)
    except ContractError as error:
        raise CommandError(OutcomeReason.MALFORMED, str(error)) from None
    if command.device != device:
        raise CommandError(OutcomeReason.WRONG_TARGET, f"meant for {command.device}")
    if now_ms >= command.expires_ms:
        raise CommandError(OutcomeReason.EXPIRED, f"expired {(now_ms - command.expires_ms) // 1000} s ago")
    if command.issued_ms > now_ms + CLOCK_TOLERANCE_MS:
        raise CommandError(OutcomeReason.NOT_YET, "issued in the future of this machine's clock")
    return command
