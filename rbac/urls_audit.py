"""The audit trail, on an organisation's host."""

from django.urls import path

from rbac import audit_api, audit_export, audit_pages

urlpatterns = [
    path("audit", audit_pages.events, name="audit"),
    path("audit/<uuid:event_id>", audit_pages.event, name="audit_event"),
    path("api/audit", audit_api.AuditListView.as_view()),
    path("api/audit/summary", audit_api.AuditSummaryView.as_view()),
    path("api/audit/export", audit_export.AuditExportView.as_view()),
    path("api/audit/<uuid:event_id>/verify", audit_api.AuditVerifyView.as_view()),
]
