"""Accounts in the store, as commands and the console change them."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Final

from siad.contracts.access import EVERY_LINE, Account, Role
from siad.contracts.access_keys import account_key, accounts_prefix
from siad.contracts.errors import ConflictError, MissingError
from siad.runtime.access.directory import read_documents
from siad.runtime.blobs.port import IF_ABSENT, Blobs, PutCondition

RACES_MAX: Final = 8  # attempts of one change that others of the account may overtake


class Accounts:
    """Creates accounts, and moves them by conditional put."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs

    def all(self) -> list[Account]:
        """Read every account, by name.

        Raises:
            CorruptError: one can't be read.
        """
        return read_documents(self._blobs, accounts_prefix(), Account.from_json)

    def read(self, name: str) -> Account:
        """Read one account.

        Raises:
            LookupError: there is none of this name.
        """
        return self._read(name)[0]

    def require_free(self, name: str) -> None:
        """Raise ConflictError where the name is taken."""
        if self._blobs.head(account_key(name)) is not None:
            raise ConflictError(_describe_taken(name))

    def create(self, account: Account) -> Account:
        """Store a new account.

        Raises:
            ConflictError: the name is taken; nothing was changed.
        """
        try:
            self._put(account, IF_ABSENT)
        except ConflictError as error:
            raise ConflictError(_describe_taken(account.name)) from error
        return account

    def change(self, name: str, change: Callable[[Account], Account]) -> Account:
        """Change an account; repeated where another change was first.

        Raises:
            LookupError: there is none of this name.
            ValueError: the change is refused; nothing was changed.
            ConflictError: others changed it again and again.
        """
        for _ in range(RACES_MAX):
            held, etag = self._read(name)
            changed = replace(change(held), revision=held.revision + 1)
            try:
                self._put(changed, PutCondition(etag))
            except ConflictError:
                continue
            return changed
        msg = f"the account {name!r} was changed {RACES_MAX} times meanwhile; nothing was changed. Try again"
        raise ConflictError(msg)

    def _read(self, name: str) -> tuple[Account, str]:
        try:
            blob = self._blobs.get(account_key(name))
        except (MissingError, ValueError) as error:
            msg = f"there is no account {name!r}; nothing was changed. siad account list shows all"
            raise LookupError(msg) from error
        return Account.from_json(blob.data), blob.etag

    def _put(self, account: Account, condition: PutCondition) -> None:
        key = account_key(account.name)
        self._blobs.put(key, account.to_json(), content_type="application/json", condition=condition)


def _describe_taken(name: str) -> str:
    return f"there is an account {name!r} already; nothing was changed. siad account list shows all"


def new_account(name: str, password: str, roles: dict[str, Role], *, now: datetime, subject: str = "") -> Account:
    """Make an account.

    Args:
        name: of the account.
        password: empty: none, for people of an identity provider.
        roles: by line.
        now: the time.
        subject: issuer and subject of the identity provider.

    Raises:
        ValueError: the name is invalid or the password too weak.
    """
    account = Account(
        name=name, password_hash="", roles=roles, created_at=now, revision=1, sessions_from_at=now, subject=subject
    )
    return with_password(account, password, now=now) if password else account


def with_password(account: Account, password: str, *, now: datetime) -> Account:
    """Set another password, and end every session.

    Raises:
        ValueError: it is too weak.
    """
    from siad.runtime.access.passwords import hash_password, require_strong  # not installed where no person signs in

    require_strong(account.name, password)
    return replace(account, password_hash=hash_password(password), sessions_from_at=now)


def with_role(account: Account, role: Role | None, line: str = EVERY_LINE) -> Account:
    """Set the role on a line; None takes it away."""
    others = {place: held for place, held in account.roles.items() if place != line}
    return replace(account, roles=others if role is None else {**others, line: role})


def with_claims(account: Account, roles: Mapping[str, Role]) -> Account:
    """Replace the roles that an identity provider claims; those given here stay."""
    return replace(account, claimed_roles=dict(roles))


def with_disabled(account: Account, *, is_disabled: bool, now: datetime) -> Account:
    """Refuse the person, or admit them again; every session ends."""
    return replace(account, is_disabled=is_disabled, sessions_from_at=now)
