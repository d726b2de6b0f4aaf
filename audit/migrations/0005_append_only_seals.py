"""The seals are append-only like the events: batches, places, and what keys said of keys."""

from django.db import migrations

TABLES = ("audit_batch", "audit_sealedevent", "audit_keystatement")

REFUSE = "".join(
    f"""
CREATE TRIGGER {table}_append_only
    BEFORE UPDATE OR DELETE OR TRUNCATE ON public.{table}
    FOR EACH STATEMENT EXECUTE FUNCTION public.audit_event_append_only();
"""
    for table in TABLES
)
ALLOW = "".join(f"DROP TRIGGER {table}_append_only ON public.{table};\n" for table in TABLES)


class Migration(migrations.Migration):
    dependencies = [("audit", "0004_seals")]

    operations = [migrations.RunSQL(REFUSE, ALLOW)]
