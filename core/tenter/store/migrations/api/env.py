"""Alembic environment of the api database; the engine comes from tenter.store.migrate."""

from alembic import context

engine = context.config.attributes["engine"]
# As a writer: on SQLite only that begins a transaction, and a schema must be there as a whole or not at all.
with engine.connect().execution_options(tenter_write=True) as connection:
    context.configure(connection=connection, transactional_ddl=True)
    with context.begin_transaction():
        context.run_migrations()
