"""Which log a share's offset counts in: a topic that is deleted and made again has the same name, other messages, and offsets from 0 on.

Shares of before belong to whatever log is there when they are claimed next.
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("share", sa.Column("log_id", sa.String(36), nullable=False, server_default=""))
