"""The default permission. A module of its own: REST framework imports it while it loads its views,
which the door is built on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rest_framework.permissions import BasePermission

if TYPE_CHECKING:
    from rest_framework.request import Request
    from rest_framework.views import APIView


class Undeclared(BasePermission):
    """A view that says nothing about who may call it lets nobody in."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        return False
