# SPDX-License-Identifier: BSD-3-Clause
"""The configuration and the groups that a start was checked with; when account lists were pushed."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Defaults of the server fill the rows that are there already.
    op.add_column("jsc_starts", sa.Column("configuration", sa.String(64), nullable=False, server_default=""))
    op.add_column("jsc_starts", sa.Column("groups", sa.JSON(), nullable=False, server_default=sa.text("'[]'")))
    op.create_index("ix_jsc_starts_ended", "jsc_starts", ["ended"])
    op.create_table(
        "jsc_pushes",
        sa.Column("user", sa.String(255), primary_key=True),
        sa.Column("time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("entries", sa.Integer(), nullable=False),
        sa.Column("service", sa.String(255), nullable=False),
    )


def downgrade() -> None:
    op.drop_table("jsc_pushes")
    op.drop_index("ix_jsc_starts_ended", "jsc_starts")
    with op.batch_alter_table("jsc_starts") as table:
        table.drop_column("groups")
        table.drop_column("configuration")
