"""The passphrase secrets provider: the same key derivation, cipher and text format as the Pulumi CLI's."""

import base64
import functools
import hashlib
import os
import secrets
from pathlib import Path
from typing import Any

from rehearsal.engine.errors import CommandError

_ITERATIONS = 1_000_000
_VERSION = "v1"


def _passphrase() -> str:
    phrase = os.environ.get("PULUMI_CONFIG_PASSPHRASE")
    if phrase is not None:
        return phrase
    path = os.environ.get("PULUMI_CONFIG_PASSPHRASE_FILE")
    if path:
        try:
            return Path(path).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise CommandError(f"unable to read PULUMI_CONFIG_PASSPHRASE_FILE: {error}") from error
    raise CommandError(
        "passphrase must be set with PULUMI_CONFIG_PASSPHRASE or PULUMI_CONFIG_PASSPHRASE_FILE environment variables"
    )


def _encode(data: bytes) -> str:
    return base64.b64encode(data).decode()


class PassphraseSecrets:
    """Encrypts and decrypts with a key made from the passphrase and a stack's salt; the key is made on first use."""

    def __init__(self, encryption_salt: str) -> None:
        self.encryption_salt = encryption_salt
        try:
            version, salt, _ = encryption_salt.split(":", 2)
            if version != _VERSION:
                raise ValueError(f"its version is not {_VERSION}")
            base64.b64decode(salt, validate=True)
        except ValueError as error:
            raise CommandError(f"encryptionsalt {encryption_salt!r} is damaged: {error}") from error

    @classmethod
    def create(cls) -> "PassphraseSecrets":
        """Choose a new salt; its text also proves later that a passphrase is the right one."""
        salt = secrets.token_bytes(8)
        provider = cls(f"{_VERSION}:{_encode(salt)}:")
        provider.encryption_salt += provider.encrypt("pulumi")
        return provider

    @functools.cached_property
    def _cipher(self) -> Any:
        # Imported late: most commands of a stack without secrets never need it.
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        _, salt, proof = self.encryption_salt.split(":", 2)
        key = hashlib.pbkdf2_hmac("sha256", _passphrase().encode(), base64.b64decode(salt), _ITERATIONS, 32)
        cipher = AESGCM(key)
        if proof and _decrypt(cipher, proof) != "pulumi":
            raise CommandError("incorrect passphrase")
        return cipher

    def require(self) -> None:
        """Fail when there is no passphrase, without the time that a key takes."""
        _passphrase()

    def encrypt(self, plain: str) -> str:
        """Encrypt a text: `v1:<nonce>:<ciphertext>`."""
        nonce = secrets.token_bytes(12)
        return f"{_VERSION}:{_encode(nonce)}:{_encode(self._cipher.encrypt(nonce, plain.encode(), None))}"

    def decrypt(self, text: str) -> str:
        """Decrypt what `encrypt` wrote; fails with a message when it was not this passphrase."""
        return _decrypt(self._cipher, text)

    def document(self) -> dict[str, Any]:
        """What the state file records about this provider."""
        return {"type": "passphrase", "state": {"salt": self.encryption_salt}}


def _decrypt(cipher: Any, text: str) -> str:
    from cryptography.exceptions import InvalidTag

    try:
        version, nonce, ciphertext = text.split(":")
        if version != _VERSION:
            raise CommandError(f"unknown version of an encrypted value: {version}")
        return cipher.decrypt(base64.b64decode(nonce), base64.b64decode(ciphertext), None).decode()
    except ValueError as error:
        raise CommandError(f"the encrypted value {text!r} is damaged: {error}") from error
    except InvalidTag as error:
        raise CommandError("incorrect passphrase") from error
