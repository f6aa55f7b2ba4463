"""Who calls: identities, and the signed tokens that carry them between processes.

Users hold access tokens issued by accounts; services sign tokens of their own for each callee
(audience = callee, 5 minutes), naming on whose behalf they call. Both are JWTs signed with Ed25519
(RFC 8037) and verified against one published key set, whose key ids begin with their issuer.
"""

from __future__ import annotations

import base64
import enum
import json
import time
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from kit.errors import Unauthenticated

USER_AUDIENCE = "atelier"
USER_ISSUER = "accounts"
SERVICE_TOKEN_SECONDS = 300
CLOCK_SKEW_SECONDS = 30
TICKET_STEADY_SECONDS = 60
_ALGORITHMS = ["EdDSA"]


class Kind(enum.IntEnum):
    """Callers by privilege; a service stands apart."""

    NOBODY = 1
    GUEST = 2
    MEMBER = 3
    ADMINISTRATOR = 4
    SERVICE = 5


@dataclass(frozen=True)
class Identity:
    """A verified caller.

    Attributes:
        kind: What the caller is.
        user_id: The user, or for a service the user on whose behalf it calls, if any.
        service: The calling service's name, or empty.
        scopes: What an API key may do, where the caller came with one; None: all that its kind
            may do.
        expires_at: When the token or ticket of a user does, in seconds since 1970; 0: not known.
    """

    kind: Kind
    user_id: uuid.UUID | None = None
    service: str = ""
    scopes: frozenset[str] | None = None
    expires_at: int = field(default=0, compare=False)

    @property
    def user(self) -> uuid.UUID:
        """The user's id.

        Raises:
            Unauthenticated: There is no user.
        """
        if self.user_id is None:
            raise Unauthenticated("sign in first")
        return self.user_id


NOBODY = Identity(Kind.NOBODY)


def system(service: str) -> Identity:
    """The identity of a service's own consumers and sweepers."""
    return Identity(Kind.SERVICE, service=service)


def create_key(directory: Path, issuer: str) -> None:
    """Makes ``<issuer>.pem`` unless it exists; the caller publishes with :func:`publish_keys`."""
    path = directory / f"{issuer}.pem"
    if path.exists():
        return
    private = Ed25519PrivateKey.generate()
    path.touch(mode=0o600)
    path.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def publish_keys(directory: Path) -> None:
    """Writes ``jwks.json`` with the public half of every ``*.pem`` in ``directory``."""
    keys = []
    for path in sorted(directory.glob("*.pem")):
        raw = _load_private(path).public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        x = base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
        common = {"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig"}
        keys.append({**common, "kid": _key_id(path.stem), "x": x})
    (directory / "jwks.json").write_text(json.dumps({"keys": keys}, indent=1))


def _key_id(issuer: str) -> str:
    return f"{issuer}-1"


def _load_private(path: Path) -> Ed25519PrivateKey:
    key = load_pem_private_key(path.read_bytes(), password=None)
    if not isinstance(key, Ed25519PrivateKey):
        raise TypeError(f"{path} is no Ed25519 key")
    return key


class Signer:
    """Signs tokens in the name of one issuer."""

    def __init__(self, issuer: str, keys_dir: Path) -> None:
        self.issuer = issuer
        self._key = _load_private(keys_dir / f"{issuer}.pem")
        self._headers = {"kid": _key_id(issuer)}

    def user_token(
        self,
        user_id: uuid.UUID,
        kind: Kind,
        lifetime_seconds: int,
        *,
        scopes: Iterable[str] | None = None,
    ) -> str:
        """Signs an access token for a user (RFC 9068 style, ``typ: at+jwt``).

        Args:
            user_id: The user.
            kind: What the user is.
            lifetime_seconds: Until it expires.
            scopes: Of the API key that it stands for (the claim ``scope`` of RFC 8693); None: a
                session's token, which has no such claim.
        """
        claims = {"sub": str(user_id), "kind": kind.name.lower()}
        if scopes is not None:
            claims["scope"] = " ".join(scopes)
        return self._sign("at+jwt", USER_AUDIENCE, lifetime_seconds, claims)

    def service_token(self, callee: str, on_behalf_of: uuid.UUID | None = None) -> str:
        """Signs a token with which this service calls ``callee``."""
        claims = {"sub": self.issuer, "obo": str(on_behalf_of) if on_behalf_of else None}
        return self._sign("service+jwt", callee, SERVICE_TOKEN_SECONDS, claims)

    def ticket(self, user_id: uuid.UUID, thing: str, lifetime_seconds: int) -> str:
        """Signs a ticket by which a user reads one thing of this service without a header.

        It is the same for a minute, so that what carries it does not change with every reading.
        """
        claims = {"sub": str(user_id), "thing": thing}
        lifetime_seconds += TICKET_STEADY_SECONDS
        now = int(time.time())
        at = now - now % TICKET_STEADY_SECONDS
        return self._sign("ticket+jwt", self.issuer, lifetime_seconds, claims, at)

    def _sign(
        self, typ: str, audience: str, lifetime: int, claims: dict[str, Any], at: int | None = None
    ) -> str:
        now = int(time.time()) if at is None else at
        body = {"iss": self.issuer, "aud": audience, "iat": now, "exp": now + lifetime, **claims}
        return jwt.encode(body, self._key, "EdDSA", headers={**self._headers, "typ": typ})


def _no_ticket() -> Unauthenticated:
    return Unauthenticated("the ticket is not valid or has expired; read the job again")


@dataclass
class Verifier:
    """Verifies tokens against the published keys, which it reads anew when the file changes.

    Attributes:
        service: The process that verifies, which is the audience of service tokens.
        keys_dir: The folder of ``jwks.json``.
    """

    service: str
    keys_dir: Path
    _keys: dict[str, jwt.PyJWK] = field(default_factory=dict)
    _read_at: float = 0.0

    def verify(self, token: str) -> Identity:
        """Returns whom a token stands for.

        Raises:
            Unauthenticated: It is malformed, forged, expired, or meant for somebody else.
        """
        try:
            header = jwt.get_unverified_header(token)
            issuer = str(header.get("kid", "")).rpartition("-")[0]
            key = self._key(str(header.get("kid", "")))
            if header.get("typ") == "at+jwt" and issuer == USER_ISSUER:
                return self._user(self._decode(token, key, issuer, USER_AUDIENCE))
            if header.get("typ") == "service+jwt":
                return self._service(self._decode(token, key, issuer, self.service))
        except (jwt.PyJWTError, KeyError, ValueError):
            raise Unauthenticated("the token is not valid or has expired; sign in again") from None
        raise Unauthenticated("the token is not of a kind that is accepted here")

    def verify_ticket(self, ticket: str, thing: str) -> Identity:
        """Returns whom a ticket of this service for ``thing`` stands for.

        Raises:
            Unauthenticated: It is malformed, forged, expired, or for another thing.
        """
        identity, named = self._ticket(ticket, self.service)
        if named != thing:
            raise _no_ticket()
        return identity

    def holder(self, ticket: str) -> Identity:
        """Returns for whom a ticket of any service stands; what it opens its service alone says.

        Raises:
            Unauthenticated: It is malformed, forged or expired.
        """
        try:
            issuer = str(jwt.get_unverified_header(ticket).get("kid", "")).rpartition("-")[0]
        except jwt.PyJWTError:
            raise _no_ticket() from None
        return self._ticket(ticket, issuer)[0]

    def _ticket(self, ticket: str, issuer: str) -> tuple[Identity, str]:
        """Returns who holds a ticket of a service, and for what."""
        try:
            header = jwt.get_unverified_header(ticket)
            claims = self._decode(ticket, self._key(_key_id(issuer)), issuer, issuer)
            if header.get("typ") == "ticket+jwt":
                user_id, until = uuid.UUID(claims["sub"]), int(claims["exp"])
                return Identity(Kind.GUEST, user_id, expires_at=until), str(claims["thing"])
        except (jwt.PyJWTError, KeyError, ValueError):
            pass
        raise _no_ticket()

    def _decode(self, token: str, key: jwt.PyJWK, issuer: str, audience: str) -> dict[str, Any]:
        return jwt.decode(
            token,
            key,
            algorithms=_ALGORITHMS,
            audience=audience,
            issuer=issuer,
            leeway=CLOCK_SKEW_SECONDS,
            options={"require": ["exp", "iat", "iss", "aud", "sub"]},
        )

    @staticmethod
    def _user(claims: dict[str, Any]) -> Identity:
        kind = Kind[str(claims["kind"]).upper()]
        if not Kind.GUEST <= kind <= Kind.ADMINISTRATOR:
            raise Unauthenticated("the token is not of a kind that is accepted here")
        # An empty claim is a key that may do nothing; only its absence is a session.
        scopes = frozenset(str(claims["scope"]).split()) if "scope" in claims else None
        user_id = uuid.UUID(claims["sub"])
        return Identity(kind, user_id, scopes=scopes, expires_at=int(claims["exp"]))

    @staticmethod
    def _service(claims: dict[str, Any]) -> Identity:
        on_behalf_of = claims.get("obo")
        user_id = uuid.UUID(on_behalf_of) if on_behalf_of else None
        return Identity(Kind.SERVICE, user_id, service=claims["sub"])

    def _key(self, key_id: str) -> jwt.PyJWK:
        changed_at = (self.keys_dir / "jwks.json").stat().st_mtime
        if changed_at != self._read_at:
            self._keys = {key.key_id or "": key for key in self._read().keys}
            self._read_at = changed_at
        return self._keys[key_id]

    def _read(self) -> jwt.PyJWKSet:
        return jwt.PyJWKSet.from_json((self.keys_dir / "jwks.json").read_text())
