"""Sessions of people: links and passwords in, principals out."""

import asyncio
import contextvars
import secrets
from collections import OrderedDict
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

import structlog

from services.console.adapters.projection import sessions
from services.console.adapters.projection.database import Database
from services.console.domain.attempts import SignInAttempts
from services.console.domain.identity import ClaimedIdentity
from services.console.domain.sessions import Session, SignInMethod, TokenKind, digest, make_link, make_session
from siad.contracts.access import Account, Principal, PrincipalKind, Role, permissions_of
from siad.contracts.access_keys import accounts_prefix
from siad.contracts.audit_log import AuditAction
from siad.contracts.errors import ConflictError, TransientError
from siad.runtime.access.accounts import Accounts, new_account, with_claims
from siad.runtime.access.audit_log import AuditLog
from siad.runtime.access.directory import Directory
from siad.runtime.access.passwords import is_password
from siad.runtime.blobs.aio import AsyncBlobs
from siad.runtime.clock import Clock

log = structlog.get_logger()

TOKEN_BYTES: Final = 32
KNOWN_S: Final = 2.0  # longest that a session which another console ended is still open here
KNOWN_MAX: Final = 10_000  # sessions held in memory
HASHES_AT_ONCE: Final = 2  # 64 MiB each


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A person with an open session."""

    session: Session
    roles: Mapping[str, Role]  # at present, by line

    @property
    def principal(self) -> Principal:
        """The person, with the permissions of the roles."""
        permissions = permissions_of(self.roles)
        return Principal(name=self.session.person, kind=PrincipalKind.PERSON, permissions=permissions)


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """Where a sign-in comes from."""

    browser: str
    address: str


class TooManyAttemptsError(Exception):
    """Sign-in that must wait, because too many failed before."""

    def __init__(self, wait_s: float) -> None:
        super().__init__(f"wait {wait_s:.0f} s")
        self.wait_s = wait_s


class PersonSessions:
    """Opens, finds and ends sessions.

    They are rows of the console's database. Each is held in memory for two seconds, and for longer while the database
    is away, so that a page keeps working.
    """

    def __init__(self, database: Database, store: AsyncBlobs, audit: AuditLog, *, clock: Clock) -> None:
        self._database, self._store, self._audit, self._clock = database, store, audit, clock
        self._accounts = Directory(store, accounts_prefix(), Account.from_json, clock=clock)
        self._hashing = ThreadPoolExecutor(HASHES_AT_ONCE, thread_name_prefix="passwords")
        self._known, self._attempts = _ReadSessions(), SignInAttempts()

    async def add_link(self, person: str) -> tuple[str, Session]:
        """Make a link for a person; return its token too."""
        token = secrets.token_urlsafe(TOKEN_BYTES)
        link = make_link(token, person, now=self._clock.now())
        await self._database.write(sessions.put, link, self._clock.now())
        return token, link

    async def open_by_link(self, token: str, client: Client) -> tuple[str, SignedIn] | None:
        """Use a link up; None where it is unknown, expired or used.

        Returns:
            Token of the new session, and the person.
        """
        link = await self._database.write(sessions.take, digest(token), TokenKind.LINK)
        if link is None or link.expires_at <= self._clock.now():
            self._refuse("", client, "the link is unknown, used or expired")
            return None
        account = await self._accounts.find(link.person)
        if account is not None and account.is_disabled:
            self._refuse(link.person, client, "the account is disabled")
            return None
        return await self._open(link.person, SignInMethod.LINK, client, link)

    async def open_by_password(self, name: str, password: str, client: Client) -> tuple[str, SignedIn] | None:
        """Sign a person in; None where name or password is wrong.

        It takes as long for an unknown name as for a wrong password.

        Raises:
            TooManyAttemptsError: too many attempts failed before.
        """
        now_s = self._clock.monotonic()
        if (wait_s := self._attempts.wait_s(name, client.address, now_s=now_s)) > 0:
            self._refuse(name, client, "too many attempts failed before")
            raise TooManyAttemptsError(wait_s)
        self._attempts.add_failure(name, client.address, now_s=now_s)
        account = await self._accounts.find(name)
        stored = "" if account is None or account.is_disabled else account.password_hash
        check = partial(contextvars.copy_context().run, is_password, password, stored)
        if not await asyncio.get_running_loop().run_in_executor(self._hashing, check):
            why = "no such account" if account is None else "disabled" if account.is_disabled else "wrong password"
            self._refuse(name, client, why)
            return None
        self._attempts.forget(name, client.address, now_s=now_s)
        return await self._open(name, SignInMethod.PASSWORD, client)

    async def open_by_identity(self, identity: ClaimedIdentity, client: Client) -> tuple[str, SignedIn] | None:
        """Sign in a person of the identity provider.

        An account is found by its subject, never by its name: the provider must not sign in as other people. Where
        there is none it is made, also without a role, so that an administrator can give one.

        Returns:
            None where the person has no role, the account is disabled, or each name is taken.
        """
        known = (one.name for one in (await self._accounts.all()).values() if one.subject == identity.subject)
        name = next(known, "") or await self._add_person(identity)
        if not name:
            self._refuse(identity.names[0] if identity.names else "", client, "no role, or the name is taken")
            return None
        changed = await self._store.run(
            Accounts(self._store.blobs).change, name, partial(with_claims, roles=identity.roles)
        )
        self._accounts.expire()
        if changed.is_disabled or not changed.every_role:
            self._refuse(name, client, "disabled" if changed.is_disabled else "no role")
            return None
        return await self._open(name, SignInMethod.PROVIDER, client)

    async def _add_person(self, identity: ClaimedIdentity) -> str:
        """Make the account of a person under the first free name."""
        for name in identity.names:
            account = new_account(name, "", {}, now=self._clock.now(), subject=identity.subject)
            try:
                await self._store.run(Accounts(self._store.blobs).create, account)
            except ConflictError:
                continue
            self._audit.add(AuditAction.ACCOUNT_ADDED, name, name, detail="by the identity provider")
            return name
        return ""

    async def find(self, token: str) -> SignedIn | None:
        """Return the person of a token; None where the session has ended.

        Raises:
            TransientError: database or store is unavailable, and the session is not known here.
        """
        session = await self._find(digest(token))
        if session is None or session.kind is not TokenKind.SESSION or session.expires_at <= self._clock.now():
            return None
        roles = session.roles_at_present((await self._accounts.all()).get(session.person))
        return None if roles is None else SignedIn(session, roles)

    async def of_person(self, person: str) -> list[Session]:
        """Read the open sessions of a person, the newest first."""
        return await self._database.read(sessions.of_person, person, self._clock.now())

    async def end(self, session_id: str, person: str) -> bool:
        """End a session of a person; False where there is none."""
        found = await self._find(session_id)
        if found is None or found.person != person:
            return False
        await self._database.write(sessions.take, session_id, TokenKind.SESSION)
        self._known.put(session_id, None, read_at_s=self._clock.monotonic())
        self._audit.add(AuditAction.SESSION_ENDED, person, f"session of {found.opened_at:%Y-%m-%d %H:%M} UTC")
        return True

    def close(self) -> None:
        """Stop the threads."""
        self._hashing.shutdown(wait=False, cancel_futures=True)

    async def _open(
        self, person: str, method: SignInMethod, client: Client, link: Session | None = None
    ) -> tuple[str, SignedIn] | None:
        token, now = secrets.token_urlsafe(TOKEN_BYTES), self._clock.now()
        session = make_session(token, person, method, client=client.browser, now=now)
        if link is not None:
            session = replace(session, roles=link.roles)
        await self._database.write(sessions.put, session, now)
        self._audit.add(AuditAction.SIGN_IN, person, f"by {method.value}", address=client.address)
        signed_in = await self.find(token)
        return None if signed_in is None else (token, signed_in)  # None: the account was disabled at this moment

    def _refuse(self, name: str, client: Client, why: str) -> None:
        self._audit.add(AuditAction.SIGN_IN_REFUSED, name, "sign-in", detail=why, address=client.address)

    async def _find(self, session_id: str) -> Session | None:
        read_at_s, known = self._known.find(session_id)
        if known is not None and self._clock.monotonic() - read_at_s < KNOWN_S:
            return known
        try:
            found = await self._database.read(sessions.find, session_id)
        except TransientError as error:
            if known is None:
                raise
            log.warning("sessions_away", reason=str(error))
            return known
        self._known.put(session_id, found, read_at_s=self._clock.monotonic())
        return found


class _ReadSessions:
    """Sessions as they were read last, a bounded number."""

    def __init__(self) -> None:
        self._held: OrderedDict[str, tuple[float, Session]] = OrderedDict()

    def find(self, session_id: str) -> tuple[float, Session | None]:
        return self._held.get(session_id, (0.0, None))

    def put(self, session_id: str, session: Session | None, *, read_at_s: float) -> None:
        self._held.pop(session_id, None)
        if session is not None:
            self._held[session_id] = (read_at_s, session)
        while len(self._held) > KNOWN_MAX:
            self._held.popitem(last=False)
