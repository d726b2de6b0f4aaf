"""What the staff pages ask of a sign-in; the routes under /api/ that are for staff ask the same."""

from __future__ import annotations

from tenants.accounts.staff_factor import is_on, suffices, was_given

__all__ = ["is_on", "suffices", "was_given"]
