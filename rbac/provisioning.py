"""The provisioning step that makes roles, and gives the organisation's people theirs."""

from __future__ import annotations

from rbac.builtin import ROLE_OF_MEMBER, seed
from rbac.models import ApiToken, Assignment, Change, Permission, Role
from tenants.models import MemberRole, Membership, Organisation
from tenants.schemas import in_schema, schema_exists


class RolesStep:
    """Seeds the four built-in roles; the owner gets `admin`. The membership is there already."""

    name = "roles"

    def do(self, organisation: Organisation) -> None:
        members = list(Membership.objects.filter(organisation=organisation))
        if not any(member.role == MemberRole.OWNER for member in members):
            raise RuntimeError("The organisation has no owner to make an administrator.")
        with in_schema(organisation):
            seed()
            for member in members:
                _assign(member)

    def undo(self, organisation: Organisation) -> None:
        if not schema_exists(organisation.schema_name):
            return
        with in_schema(organisation):
            for model in (ApiToken, Assignment, Permission, Role, Change):
                model.objects.all().delete()


def _assign(member: Membership) -> None:
    role = ROLE_OF_MEMBER[member.role]
    _, made = Assignment.objects.get_or_create(user=member.user_id, role_id=role)
    if made:
        Change.objects.create(
            action="user_roles_updated",
            entity_type="assignment",
            entity_id=str(member.user_id),
            new_value={"roleIds": [role]},
            actor="system:provisioning",
        )
