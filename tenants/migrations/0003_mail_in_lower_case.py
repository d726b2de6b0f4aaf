"""Sign-in looks people up in lower case; addresses that sign-ups stored otherwise were not found."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("tenants", "0002_people")]

    operations = [
        migrations.RunSQL(
            "UPDATE tenants_user SET email = lower(email) WHERE email <> lower(email)",
            migrations.RunSQL.noop,
        )
    ]
