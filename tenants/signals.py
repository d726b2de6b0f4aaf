"""What higher rooms may listen to: an organisation's people changed.

Sent by `tenants.membership` inside its transaction, each with `organisation`, `user_id` (UUID) and
`actor`; a receiver that fails undoes the change.
"""

from django.dispatch import Signal

member_added = Signal()  # role
member_changed = Signal()  # before, after: membership roles
member_removed = Signal()  # role: what it was
