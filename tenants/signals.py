"""What higher rooms may listen to: an organisation's people changed, or a place was offered.

Changes are sent by `tenants.people.membership` inside its transaction, each with `organisation`, `user_id`
(UUID) and `actor`; a receiver that fails undoes the change.
"""

from django.dispatch import Signal

member_added = Signal()  # role
member_changed = Signal()  # before, after: membership roles
member_removed = Signal()  # role: what it was

# Sent by `tenants.people.backing`: organisation, role (a membership role), by (UUID of a member). Whoever
# knows that this person may not give this role raises Problem 403.
role_offered = Signal()

# Sent by `tenants.backups` with an organisation (whose `schema_name` may be a draft's): whoever knows who
# may do what there answers {subject: [what it has]}, such as {"user <id>": ["admin"]}.
access_asked = Signal()
