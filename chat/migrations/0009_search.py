"""What the search has taken in, and the words beside it in what each database has for full text.

SQLite: an FTS5 table, a row an entry. PostgreSQL: a table of tsvectors, a row a part of a long text, since a tsvector
holds 256 positions of a word and none behind 16,383. The words of both come segmented: no tokenizer's or parser's ideas
of words are used. A trigger takes the words away with their entry; a later migration that has SQLite make the table of
the entries anew must make its trigger anew too.
"""

import django.db.models.deletion
from django.db import migrations, models

from chat.migrations._dependent import CreateDependentModel

SQLITE = (
    "CREATE VIRTUAL TABLE chat_search_words USING fts5(owner, words, tokenize = 'ascii', columnsize = 0)",
    """
    CREATE TRIGGER chat_search_gone AFTER DELETE ON chat_searchentry BEGIN
        DELETE FROM chat_search_words WHERE rowid = old.place;
    END
    """,
)
SQLITE_BACK = (
    "DROP TRIGGER IF EXISTS chat_search_gone",
    "DROP TABLE IF EXISTS chat_search_words",
)
POSTGRESQL = (
    """
    CREATE TABLE chat_search_words (
        place bigint NOT NULL, part integer NOT NULL, words tsvector NOT NULL, PRIMARY KEY (place, part)
    )
    """,
    "CREATE INDEX chat_search_words_gin ON chat_search_words USING gin (words)",
    """
    CREATE FUNCTION chat_search_gone() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF TG_OP = 'TRUNCATE' THEN
            TRUNCATE chat_search_words;
        ELSE
            DELETE FROM chat_search_words USING gone WHERE chat_search_words.place = gone.place;
        END IF;
        RETURN NULL;
    END $$
    """,
    """
    CREATE TRIGGER chat_search_gone AFTER DELETE ON chat_searchentry
        REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION chat_search_gone()
    """,
    """
    CREATE TRIGGER chat_search_emptied AFTER TRUNCATE ON chat_searchentry
        FOR EACH STATEMENT EXECUTE FUNCTION chat_search_gone()
    """,
)
POSTGRESQL_BACK = (
    "DROP TRIGGER IF EXISTS chat_search_gone ON chat_searchentry",
    "DROP TRIGGER IF EXISTS chat_search_emptied ON chat_searchentry",
    "DROP FUNCTION IF EXISTS chat_search_gone()",
    "DROP TABLE IF EXISTS chat_search_words",
)


def make_words(apps, schema_editor):
    _execute(schema_editor, {"sqlite": SQLITE, "postgresql": POSTGRESQL})


def drop_words(apps, schema_editor):
    _execute(schema_editor, {"sqlite": SQLITE_BACK, "postgresql": POSTGRESQL_BACK})


def _execute(schema_editor, statements):
    for statement in statements[schema_editor.connection.vendor]:
        schema_editor.execute(statement)


class Migration(migrations.Migration):

    dependencies = [
        ('chat', '0008_clients'),
    ]

    operations = [
        CreateDependentModel(
            name='SearchEntry',
            fields=[
                ('place', models.BigIntegerField(primary_key=True, serialize=False)),
                ('generation', models.UUIDField(null=True)),
                ('seen_at', models.DateTimeField(null=True)),
                ('conversation', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='chat.conversation', verbose_name='conversation')),
                ('message', models.OneToOneField(null=True, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='chat.message', verbose_name='message')),
            ],
            options={
                'verbose_name': 'search entry',
                'verbose_name_plural': 'search entries',
                'indexes': [models.Index(fields=['conversation', 'message'], name='search_entry_of')],
            },
        ),
        migrations.RunPython(make_words, drop_words),
    ]
