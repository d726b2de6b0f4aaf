"""Plans and what they unlock (hosted-contract sections 12.3, 13.4, 13.5).

Code gates on capabilities, never on a plan's or tier's name (section 14).
"""

from __future__ import annotations

from typing import Final

TRIAL_PLAN: Final = "cloud_trial"

_FREE = frozenset({"update_alerts", "sso", "advanced_sso", "ai_patrol"})
_RELAY = _FREE | {"relay", "mobile_app", "push_notifications", "long_term_metrics"}
_CLOUD = _RELAY | {
    "ai_alerts",
    "ai_autofix",
    "kubernetes_ai",
    "agent_profiles",
    "rbac",
    "audit_logging",
    "advanced_reporting",
    "external_probe",
}
_MSP = _CLOUD | {"unlimited", "multi_tenant"}
_ENTERPRISE = _MSP | {"multi_user", "white_label"}

# Section 13.4. `cloud` equals the pro tiers: upstream's documents promise `unlimited`, its code
# does not grant it.
TIERS: Final[dict[str, frozenset[str]]] = {
    "free": _FREE,
    "relay": _RELAY,
    "pro": _CLOUD,
    "pro_plus": _CLOUD,
    "pro_annual": _CLOUD,
    "lifetime": _CLOUD,
    "business": _CLOUD,
    "cloud": _CLOUD,
    "msp": _MSP,
    "enterprise": _ENTERPRISE,
}

# Section 12.3: names that older records and price lists use.
ALIASES: Final[dict[str, str]] = {
    "cloud": "cloud_starter",
    "starter": "cloud_starter",
    "cloud-v1": "cloud_starter",
    "power": "cloud_power",
    "max": "cloud_max",
    "founding": "cloud_founding",
    "msp": "msp_starter",
    "msp-hosted-v1": "msp_starter",
    "msp-eval": "msp_eval",
}

PLAN_NAMES: Final[dict[str, str]] = {
    TRIAL_PLAN: "Cloud trial",
    "cloud_founding": "Cloud Founding",
    "cloud_starter": "Cloud Starter",
    "cloud_power": "Cloud Power",
    "cloud_max": "Cloud Max",
    "msp_eval": "MSP evaluation",
    "msp_starter": "MSP Starter",
    "msp_growth": "MSP Growth",
    "msp_scale": "MSP Scale",
}

# Plans whose people and programs ask for more than the default of a server.
_REQUESTS: Final[dict[str, int]] = {
    "cloud_power": 4000,
    "cloud_max": 8000,
    "msp_starter": 4000,
    "msp_growth": 8000,
    "msp_scale": 16000,
}


def canonical(plan: str) -> str:
    """The plan's own name: trimmed, lower-cased, aliases resolved; empty stays empty."""
    name = plan.strip().lower()
    return ALIASES.get(name, name)


def capabilities_of(plan: str) -> list[str]:
    """What a plan unlocks, sorted: MSP plans also get `white_label` (section 15.1).

    An unknown plan gets the free tier: better a missing feature than an unpaid one.
    """
    name = canonical(plan)
    if name not in PLAN_NAMES:
        return sorted(TIERS["free"])
    return sorted(TIERS["msp"] | {"white_label"} if name.startswith("msp_") else TIERS["cloud"])


def requests_per_minute(plan: str) -> int | None:
    """What an organisation on this plan may ask (section 8.3); None is the server's default."""
    return _REQUESTS.get(canonical(plan))


def plan_name(plan: str) -> str:
    """What people call the plan; an unknown one is shown as it is stored."""
    return PLAN_NAMES.get(canonical(plan), plan or "none")
