"""Roles and who has them, on an organisation's host."""

from django.urls import path

from rbac import api_assignments, api_roles, role_pages

urlpatterns = [
    path("api/admin/roles", api_roles.RolesView.as_view()),
    path("api/admin/roles/<str:role_id>", api_roles.RoleView.as_view()),
    path("api/admin/users", api_assignments.UsersView.as_view()),
    path("api/admin/users/<str:username>", api_assignments.UserView.as_view()),
    path("api/admin/users/<str:username>/permissions", api_assignments.PermissionsView.as_view()),
    path("api/admin/users/<str:username>/effective", api_assignments.EffectiveView.as_view()),
    path("api/admin/users/<str:username>/roles", api_assignments.UserRolesView.as_view()),
    path("api/admin/rbac/integrity", api_roles.IntegrityView.as_view()),
    path("api/admin/rbac/changelog", api_roles.ChangelogView.as_view()),
    path("roles", role_pages.listed),
    path("roles/+new", role_pages.make),  # a role's id has no plus
    path("roles/<str:role_id>", role_pages.one),
    path("roles/<str:role_id>/edit", role_pages.edit),
    path("roles/<str:role_id>/delete", role_pages.delete),
    path("people/<uuid:user_id>/roles", role_pages.of_person),
    path("people/<uuid:user_id>/roles/give", role_pages.give),
]
