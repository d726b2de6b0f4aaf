"""What events are called for people. One that has no words here shows its name."""

from __future__ import annotations

from typing import Final

_WORDS: Final = {
    "audit_exported": "Audit trail exported",
    "audit_key_trusted": "Former sealing key trusted",
    "confirm_failed": "Confirming who it is failed",
    "csrf_failure": "Request from another site refused",
    "invitation_created": "Invitation to PulseCloud made",
    "invitation_revoked": "Invitation to PulseCloud revoked",
    "magic_link_requested": "Sign-in link asked for",
    "member_invited": "Person invited",
    "member_invitation_declined": "Invitation declined",
    "member_invitation_resent": "Invitation sent again",
    "member_invitation_revoked": "Invitation revoked",
    "org_activated": "Organisation ready",
    "org_mailbox_proved": "Mailbox proved",
    "org_provisioning_failed": "Setting up failed",
    "org_provisioning_retried": "Setting up tried again",
    "org_renamed": "Organisation renamed",
    "org_requested": "Organisation requested",
    "org_suspended": "Organisation suspended",
    "org_unsuspended": "Suspension lifted",
    "refresh_token_issued": "Runtime credential made",
    "refresh_token_revoked": "Runtime credential revoked",
    "relay_registered": "Registered at the relay",
    "relay_registered_again": "Registered at the relay again",
    "runtime_switched": "Runtime switched",
    "sign_in_failed": "Sign-in failed",
    "sso_oidc_login": "Single sign-on",
    "sso_oidc_login_initiated": "Single sign-on started",
    "sso_oidc_role_assignment": "Roles set by single sign-on",
    "sso_provider_created": "Single sign-on provider added",
    "sso_provider_deleted": "Single sign-on provider removed",
    "sso_provider_test": "Single sign-on provider tested",
    "sso_provider_updated": "Single sign-on provider changed",
    "sso_requirement_changed": "Single sign-on requirement changed",
    "token_issue_denied": "API token refused",
    "token_issued": "API token made",
    "token_renamed": "API token renamed",
    "token_revoked": "API token revoked",
    "user_roles_updated": "Roles of a person changed",
}


def title(action: str) -> str:
    """`API token made`; of an unknown one its name with blanks."""
    return _WORDS.get(action) or action.replace("_", " ").replace(".", " ").capitalize()
