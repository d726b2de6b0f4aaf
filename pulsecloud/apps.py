from django.apps import AppConfig


class PulsecloudConfig(AppConfig):
    name = "pulsecloud"
    verbose_name = "PulseCloud"
