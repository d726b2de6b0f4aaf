"""The web process: admin, pages and API over WSGI (gunicorn runs this)."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "pulsecloud.settings")

application = get_wsgi_application()
