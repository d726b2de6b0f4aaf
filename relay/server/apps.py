from django.apps import AppConfig


class RelayServerConfig(AppConfig):
    name = "relay.server"
    label = "relay_server"
    verbose_name = "Relay"
    default_auto_field = "django.db.models.BigAutoField"
