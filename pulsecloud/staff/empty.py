"""What each list says while it has nothing to show: what will stand there, and what to do next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Empty:
    """`will` names what appears, `then` what to do or wait for; `link` is (words, name of a page)
    with that page's `permission`."""

    title: str
    will: str
    then: str
    link: tuple[str, str] | None = None
    permission: str = ""


_ROLLOUT: Final = ("Rollout", "admin:tenants_rollout")
_SEE_ROLLOUT: Final = "tenants.view_rollout"
_ORGANISATIONS: Final = ("Organisations", "admin:tenants_organisation_changelist")
_SEE_ORGANISATIONS: Final = "tenants.view_organisation"

EMPTY: Final = {
    "audit.batch": Empty(
        "Nothing is sealed yet",
        "Every minute the worker seals what is new in the audit trail; each seal stands here.",
        "If there are events that are older than some minutes, see whether the worker runs.",
    ),
    "audit.event": Empty(
        "Nothing has happened yet",
        "Every decision stands here, with who made it and why.",
        "Nothing to do: the first sign-in or invitation is the first entry.",
    ),
    "billing.billingstate": Empty(
        "Nobody is billed yet",
        "Each organisation has one from its first day, a trial to begin with.",
        "Invite somebody: it is made while their organisation is set up.",
        ("Invite", "admin:tenants_invitation_add"),
        "tenants.add_invitation",
    ),
    "billing.lease": Empty(
        "No lease was issued yet",
        "A lease lets an organisation's runtime connect to the relay for a day.",
        "Nothing to do: the runtime asks for one as soon as an organisation is active.",
    ),
    "billing.signingkey": Empty(
        "There is no signing key",
        "The key that signs leases stands here, and those that retire.",
        "Without one nobody is set up. Run `manage.py keys rotate`, then give its public half to the "
        "relay.",
    ),
    "procrastinate.procrastinatejob": Empty(
        "No job was queued yet",
        "What the worker does in the background stands here, with what failed and why.",
        "Nothing to do. If nothing comes within some minutes, see whether the worker runs.",
    ),
    "relay.registration": Empty(
        "Nobody is registered at the relay yet",
        "Each active organisation has one: the address and identity by which phones find it.",
        "Nothing to do: it is made while an organisation is set up.",
        _ORGANISATIONS,
        _SEE_ORGANISATIONS,
    ),
    "tenants.attestation": Empty(
        "Nobody has vouched for anything yet",
        "Some conditions of the rollout are outside what the software sees. Who vouches for one, "
        "why and until when, stands here.",
        "Go to the checklist, and vouch for what you have seen yourself.",
        _ROLLOUT,
        _SEE_ROLLOUT,
    ),
    "tenants.backup": Empty(
        "No backup was made yet",
        "Every active organisation is backed up once a day, encrypted; each backup stands here.",
        "To have one at once, open an organisation and press Back up.",
        _ORGANISATIONS,
        _SEE_ORGANISATIONS,
    ),
    "tenants.deletionreceipt": Empty(
        "Nothing was deleted for good yet",
        "Each deletion leaves a signed receipt that its customer can be shown: what, how much, when "
        "and by whom.",
        "Nothing to do: it is made when a removal is carried out. Proofs leave none.",
        ("Removals", "admin:tenants_removal_changelist"),
        "tenants.view_removal",
    ),
    "tenants.invitation": Empty(
        "Nobody is invited yet",
        "Invitations stand here, with who used them. Those of proofs are left out.",
        "Invite somebody by address, a company by its mail domain, or many from a file.",
        ("Invite", "admin:tenants_invitation_add"),
        "tenants.add_invitation",
    ),
    "tenants.organisation": Empty(
        "No organisation yet",
        "Customers stand here from their sign-up on. Canaries of proofs are left out.",
        "Invite somebody; with hosted mode on they come up by themselves.",
        ("Invite", "admin:tenants_invitation_add"),
        "tenants.add_invitation",
    ),
    "tenants.outboxmail": Empty(
        "No mail was sent yet",
        "Every mail stands here by recipient and subject.",
        "Nothing to do: an invitation that is mailed is the first.",
    ),
    "tenants.readinessrecord": Empty(
        "Nobody has proved yet",
        "Proofs and drills try the live system from sign-up to deletion; what each run showed "
        "stands here.",
        "Run `manage.py prove`, then `manage.py drill`; the worker repeats both by itself.",
    ),
    "tenants.removal": Empty(
        "Nothing is waiting to be deleted",
        "An organisation stands here from the day its deletion is asked for until it is done, with "
        "what would go.",
        "Nothing to do. Deletion is asked for on an organisation's page, by its owner or by staff.",
        _ORGANISATIONS,
        _SEE_ORGANISATIONS,
    ),
    "tenants.ssoidentity": Empty(
        "Nobody signed in by a provider yet",
        "People who come by their organisation's single sign-on stand here.",
        "Nothing to do: owners switch it on for themselves.",
    ),
    "tenants.ssoprovider": Empty(
        "No organisation uses single sign-on yet",
        "Providers that owners set up stand here, with who may come by them.",
        "Nothing to do: owners switch it on for themselves.",
    ),
    "tenants.stagechange": Empty(
        "The stage has never been changed",
        "Each step up or down stands here, with who took it, why, and what the conditions showed.",
        "See on the checklist what keeps the next stage shut.",
        _ROLLOUT,
        _SEE_ROLLOUT,
    ),
    "tenants.user": Empty(
        "Nobody can sign in yet",
        "People stand here once they have proved their mailbox, and staff.",
        "Make the first with `manage.py createsuperuser`.",
    ),
}  # fmt: skip
