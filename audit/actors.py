"""Who acts: the one shape in which every verb is told its actor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol


class Person(Protocol):
    """What the trail needs to know of a user: a key and a text (the e-mail)."""

    @property
    def pk(self) -> Any: ...


class Token(Protocol):
    """What the trail needs to know of an API token."""

    @property
    def pk(self) -> Any: ...

    @property
    def name(self) -> Any: ...


@dataclass(frozen=True)
class Actor:
    """`kind` is person, token, staff, system or anonymous; `id` and `label` are for reading."""

    kind: str
    id: str = ""
    label: str = ""

    @classmethod
    def person(cls, user: Person) -> Actor:
        return cls("person", str(user.pk), str(user))

    @classmethod
    def staff(cls, user: Person) -> Actor:
        """A person who acts as the platform, not as a member."""
        return cls("staff", str(user.pk), str(user))

    @classmethod
    def token(cls, token: Token) -> Actor:
        return cls("token", str(token.pk), str(token.name))

    @classmethod
    def system(cls, name: str) -> Actor:
        """Software acting by itself: a step, a sweep, a command."""
        return cls("system", name, name)

    @classmethod
    def anonymous(cls) -> Actor:
        return cls("anonymous")
