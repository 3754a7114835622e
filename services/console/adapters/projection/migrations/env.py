"""Environment of Alembic: the connection that ``upgrade`` has opened."""

from alembic import context

from services.console.adapters.projection.tables import METADATA

context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA)
with context.begin_transaction():
    context.run_migrations()
