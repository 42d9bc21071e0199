"""What a CRM locks to save a write stands in its row, so that no two couriers send what locks the same; and whether others go first."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("outbox", sa.Column("locks", sa.Text(), nullable=False, server_default=""))
    op.add_column("outbox", sa.Column("lane", sa.Integer(), nullable=False, server_default="0"))
    op.drop_index("outbox_state", "outbox")
    op.create_index("outbox_state", "outbox", ["state", "system", "lane", "seq"])
    # What is still owed locks its own record, as far as is known of it by now.
    op.execute("UPDATE outbox SET locks = ref WHERE state IN ('pending', 'sending', 'parked')")
