"""Last of an organisation's host: /api/ addresses that nobody else answers."""

from django.urls import re_path

from rbac import api

urlpatterns = [re_path(r"^api/(?P<rest>[\s\S]*)\Z", api.Elsewhere.as_view())]
