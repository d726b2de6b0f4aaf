"""Single sign-on, on an organisation's host."""

from django.urls import path

from rbac.sso import api, settings_views, trial, views

urlpatterns = [
    path("sso/", views.start_page),
    path("sso/settings", settings_views.home),
    path("sso/settings/new", settings_views.new),
    path("sso/settings/required", settings_views.required),
    path("sso/settings/<str:slug>", settings_views.provider_page),
    path("sso/settings/<str:slug>/edit", settings_views.edit),
    path("sso/settings/<str:slug>/switch", settings_views.switch),
    path("sso/settings/<str:slug>/delete", settings_views.delete),
    path("sso/settings/<str:slug>/groups", settings_views.groups),
    path("sso/settings/<str:slug>/test", trial.page),
    path("sso/<str:slug>/login", views.login),
    path("sso/<str:slug>/callback", views.callback),
    path("api/security/sso/providers", api.ProvidersView.as_view()),
    path("api/security/sso/providers/<str:slug>", api.ProviderView.as_view()),
    path("api/security/sso/providers/<str:slug>/test", api.ProviderTestView.as_view()),
    path("api/security/sso/providers/<str:slug>/mappings", api.MappingsView.as_view()),
]
