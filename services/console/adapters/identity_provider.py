"""Identity provider by OpenID Connect.

Code flow with PKCE; ID tokens are checked by the provider's keys.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import httpx
from authlib.integrations.base_client.errors import OAuthError
from authlib.integrations.httpx_client import AsyncOAuth2Client
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from services.console.domain.identity import IdentityRefusedError, PendingSignIn
from siad.contracts.errors import TransientError
from siad.runtime.clock import Clock

SCOPE: Final = "openid profile email"
ALGORITHMS: Final = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
DESCRIBED_AT: Final = "/.well-known/openid-configuration"
ANSWER_S: Final = 10.0
METADATA_S: Final = 600.0  # then the provider's addresses and keys are read again
LEEWAY_S: Final = 120  # between the clocks of provider and console
NONCE_BYTES: Final = 24
VERIFIER_BYTES: Final = 48  # 64 characters; RFC 7636 asks for 43 to 128


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderSettings:
    """The provider, and what it knows the console by."""

    issuer: str
    client_id: str
    client_secret: str  # empty: a public client
    redirect_uri: str


class IdentityProvider:
    """Begins and ends sign-ins at one provider."""

    def __init__(self, settings: ProviderSettings, *, clock: Clock) -> None:
        self._settings, self._clock = settings, clock
        self._metadata: dict[str, Any] = {}
        self._read_at_s = 0.0

    async def begin(self) -> tuple[str, PendingSignIn]:
        """Return the address at the provider, and what the browser keeps.

        Raises:
            TransientError: the provider does not answer.
        """
        metadata = await self._known()
        pending = PendingSignIn(
            state=secrets.token_urlsafe(NONCE_BYTES),
            nonce=secrets.token_urlsafe(NONCE_BYTES),
            verifier=secrets.token_urlsafe(VERIFIER_BYTES),
        )
        async with self._client() as client:
            address, _ = client.create_authorization_url(
                metadata["authorization_endpoint"],
                state=pending.state,
                nonce=pending.nonce,
                code_verifier=pending.verifier,
            )
        return str(address), pending

    async def finish(self, code: str, pending: PendingSignIn) -> dict[str, Any]:
        """Exchange a code for the claims of its person.

        Raises:
            IdentityRefusedError: the provider refused the code, or its token does not hold.
            TransientError: the provider does not answer.
        """
        metadata = await self._known()
        try:
            async with self._client() as client:
                token = await client.fetch_token(
                    metadata["token_endpoint"],
                    code=code,
                    code_verifier=pending.verifier,
                    grant_type="authorization_code",
                )
            return await self._checked(token, pending, metadata)
        except (OAuthError, JoseError, KeyError, ValueError, TypeError) as error:
            self._read_at_s = 0.0  # its keys may have changed
            msg = f"the identity provider's answer was refused: {error}"
            raise IdentityRefusedError(msg) from error
        except httpx.HTTPError as error:
            raise self._away(error) from error

    async def _checked(
        self, token: Mapping[str, Any], pending: PendingSignIn, metadata: Mapping[str, Any]
    ) -> dict[str, Any]:
        keys = KeySet.import_key_set(metadata["keys"])
        read = jwt.decode(token["id_token"], keys, algorithms=ALGORITHMS)
        options = {
            "iss": {"essential": True, "value": self._settings.issuer},
            "aud": {"essential": True, "value": self._settings.client_id},
        }
        params = {
            "nonce": pending.nonce,
            "client_id": self._settings.client_id,
            "access_token": token.get("access_token"),
        }
        claims = CodeIDToken(read.claims, read.header, options, params)
        claims.validate(now=int(self._clock.now().timestamp()), leeway=LEEWAY_S)
        return dict(claims)

    async def _known(self) -> Mapping[str, Any]:
        """Read the provider's addresses and keys, now and then."""
        if self._metadata and self._read_at_s and self._clock.monotonic() - self._read_at_s < METADATA_S:
            return self._metadata
        try:
            async with httpx.AsyncClient(timeout=ANSWER_S) as client:
                metadata = _json(
                    await client.get(f"{self._settings.issuer.rstrip('/')}/.well-known/openid-configuration")
                )
                _require_issuer(metadata, self._settings.issuer)
                metadata["keys"] = _json(await client.get(metadata["jwks_uri"]))
        except (httpx.HTTPError, ValueError, KeyError) as error:
            raise self._away(error) from error
        self._metadata, self._read_at_s = metadata, self._clock.monotonic()
        return metadata

    def _client(self) -> AsyncOAuth2Client:
        settings = self._settings
        return AsyncOAuth2Client(
            settings.client_id,
            settings.client_secret or None,
            scope=SCOPE,
            redirect_uri=settings.redirect_uri,
            code_challenge_method="S256",
            token_endpoint_auth_method="client_secret_basic" if settings.client_secret else "none",
            timeout=ANSWER_S,
        )

    def _away(self, error: Exception) -> TransientError:
        text = str(error) or type(error).__name__
        return TransientError(f"the identity provider {self._settings.issuer} can't be asked: {text}")


def _require_issuer(metadata: Mapping[str, Any], issuer: str) -> None:
    if (named := metadata.get("issuer")) != issuer:
        msg = f"it names the issuer {named!r}: correct SIAD_CONSOLE_OIDC_ISSUER"
        raise ValueError(msg)


def _json(response: httpx.Response) -> dict[str, Any]:
    response.raise_for_status()
    body = response.json()
    if not isinstance(body, dict):
        msg = f"{response.url} is no JSON object"
        raise ValueError(msg)  # noqa: TRY004 - a wrong answer, not a wrong argument
    return body
