"""Tables whose rows go with those that they refer to by the database's own doing.

Django deletes them itself, but a worker of the version before, which does not know them, deletes accounts,
conversations and messages too while a new version is rolled out.
"""

from django.db import migrations

CASCADE = " ON DELETE CASCADE"


class CreateDependentModel(migrations.CreateModel):
    """A later migration that has SQLite make the table anew leaves the rule out, when nobody needs it any more."""

    def database_forwards(self, app_label, schema_editor, from_state, to_state):
        templates = {name: getattr(schema_editor, name) for name in ("sql_create_fk", "sql_create_inline_fk")}
        for name, template in templates.items():
            if template is not None:
                for end in ("%(deferrable)s", " DEFERRABLE"):  # PostgreSQL's, SQLite's
                    template = template.replace(end, CASCADE + end)
                setattr(schema_editor, name, template)
        try:
            super().database_forwards(app_label, schema_editor, from_state, to_state)
        finally:
            for name, template in templates.items():
                setattr(schema_editor, name, template)
