# SPDX-License-Identifier: BSD-3-Clause
"""Starts and events."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    time = sa.DateTime(timezone=True)
    op.create_table(
        "jsc_starts",
        sa.Column("start_id", sa.String(32), primary_key=True),
        sa.Column("lab_id", sa.String(64), nullable=False, index=True),
        sa.Column("user", sa.String(255), nullable=False, index=True),
        sa.Column("server", sa.String(64), nullable=False),
        sa.Column("options", sa.JSON(), nullable=False),
        sa.Column("created", time, nullable=False),
        sa.Column("handle", sa.Text()),
        sa.Column("secret", sa.LargeBinary()),
        sa.Column("host", sa.String(255)),
        sa.Column("port", sa.Integer()),
        sa.Column("ends", time),
        sa.Column("outcome", sa.String(16), index=True),
        sa.Column("ended", time),
        sa.Column("cleaned", sa.Boolean(), nullable=False, index=True),
    )
    op.create_table(
        "jsc_events",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True, autoincrement=True),
        sa.Column("start_id", sa.String(32), sa.ForeignKey("jsc_starts.start_id"), nullable=False, index=True),
        sa.Column("lab_id", sa.String(64), nullable=False),
        sa.Column("user", sa.String(255), nullable=False, index=True),
        sa.Column("server", sa.String(64), nullable=False),
        sa.Column("time", time, nullable=False),
        sa.Column("sender", sa.String(16), nullable=False),
        sa.Column("code", sa.String(64), nullable=False),
        sa.Column("progress", sa.Integer(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("details", sa.Text(), nullable=False),
    )


def downgrade() -> None:
    op.drop_table("jsc_events")
    op.drop_table("jsc_starts")
