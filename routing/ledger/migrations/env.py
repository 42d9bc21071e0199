"""Alembic's entry: runs the migrations on the engine that ``Ledger.upgrade`` hands over."""

from alembic import context
from sqlalchemy import text

from routing.ledger import locks
from routing.ledger.schema import metadata

engine = context.config.attributes["engine"]
with engine.connect() as connection:
    context.configure(connection=connection, target_metadata=metadata, render_as_batch=True)
    with context.begin_transaction():
        if connection.dialect.name == "postgresql":
            # Processes that start together: one migrates, however long it takes, and the others find that it is done.
            connection.execute(text("SET LOCAL lock_timeout = 0"))
            locks.take(connection, ("schema",))
            connection.execute(text("SET LOCAL lock_timeout = '60s'"))
        context.run_migrations()
