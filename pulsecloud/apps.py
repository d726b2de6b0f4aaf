from django.apps import AppConfig
from django.contrib.admin import apps as admin_apps


class PulsecloudConfig(AppConfig):
    name = "pulsecloud"
    verbose_name = "PulseCloud"
    default = True

    def ready(self) -> None:
        from pulsecloud import checks  # noqa: F401 - registers them


class StaffAdminConfig(admin_apps.AdminConfig):
    """Django's admin, with the staff site in place of the stock one."""

    default_site = "pulsecloud.staff.site.StaffSite"
    default = False
