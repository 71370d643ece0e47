# SPDX-License-Identifier: BSD-3-Clause
"""The journal's tables, in the hub's own database. Written by :mod:`.journal`; made by ``migrations/``."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, DateTime, ForeignKey, Integer, LargeBinary, String, Text
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import TypeDecorator


class UtcTime(TypeDecorator[datetime]):
    """A point in time, always UTC and aware, also in SQLite, which forgets the zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        """Called by SQLAlchemy for each value that is read."""
        _ = dialect
        return value.replace(tzinfo=UTC) if value is not None and value.tzinfo is None else value


class Base(DeclarativeBase):
    """Base of the journal's tables."""


class StartRow(Base):
    """One attempt to run a lab."""

    __tablename__ = "jsc_starts"

    start_id: Mapped[str] = mapped_column(String(32), primary_key=True)
    lab_id: Mapped[str] = mapped_column(String(64), index=True)
    user: Mapped[str] = mapped_column(String(255), index=True)
    server: Mapped[str] = mapped_column(String(64))
    options: Mapped[dict[str, Any]] = mapped_column(JSON)
    created: Mapped[datetime] = mapped_column(UtcTime)
    handle: Mapped[str | None] = mapped_column(Text)
    secret: Mapped[bytes | None] = mapped_column(LargeBinary)
    """The site's token, encrypted with the hub's keys."""
    host: Mapped[str | None] = mapped_column(String(255))
    port: Mapped[int | None]
    ends: Mapped[datetime | None] = mapped_column(UtcTime)
    """When the time limit will end the lab."""
    outcome: Mapped[str | None] = mapped_column(String(16), index=True)
    ended: Mapped[datetime | None] = mapped_column(UtcTime, index=True)
    cleaned: Mapped[bool] = mapped_column(default=False, index=True)
    """Whether job and tunnel are proven gone after the end."""
    configuration: Mapped[str] = mapped_column(String(64))
    """The version that the start was checked with; empty for starts older than this column."""
    groups: Mapped[list[str]] = mapped_column(JSON)
    """The groups whose rights it was checked with."""


class EventRow(Base):
    """One line of a start's history. Rows are added, never changed."""

    __tablename__ = "jsc_events"

    id: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True)
    start_id: Mapped[str] = mapped_column(ForeignKey("jsc_starts.start_id"), index=True)
    lab_id: Mapped[str] = mapped_column(String(64))
    user: Mapped[str] = mapped_column(String(255), index=True)
    server: Mapped[str] = mapped_column(String(64))
    time: Mapped[datetime] = mapped_column(UtcTime)
    sender: Mapped[str] = mapped_column(String(16))
    code: Mapped[str] = mapped_column(String(64))
    progress: Mapped[int]
    text: Mapped[str] = mapped_column(Text)
    details: Mapped[str] = mapped_column(Text)


class PushRow(Base):
    """The last time that an operator's service pushed a user's account list."""

    __tablename__ = "jsc_pushes"

    user: Mapped[str] = mapped_column(String(255), primary_key=True)
    time: Mapped[datetime] = mapped_column(UtcTime)
    entries: Mapped[int]
    service: Mapped[str] = mapped_column(String(255))
