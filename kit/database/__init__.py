"""PostgreSQL: sessions that know who asks, one transaction per use case, migrations, outbox."""

from kit.database.engine import Database
from kit.database.session import ReadSession, Row, Session

__all__ = ["Database", "ReadSession", "Row", "Session"]
