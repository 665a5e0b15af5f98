"""Periodic work that one process does for all."""

from datetime import datetime

from sqlalchemy.orm import Mapped, mapped_column

from app.persistence.models.base import Base


class ScheduledWorkModel(Base):
    """When the work is due next."""

    __tablename__ = "scheduled_work"

    name: Mapped[str] = mapped_column(primary_key=True)
    due_at: Mapped[datetime]
