# SPDX-License-Identifier: BSD-3-Clause
"""Alembic's environment: runs on the connection that the journal opened, with a version table of its own."""

from alembic import context

from jupyter_jsc.hub.tables import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    version_table="jsc_alembic_version",
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
