"""Who waits for a person that a rung names is looked at as soon as that person is there again, not when the hold is tried next.

What waits already is known by its next try.
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("holding", sa.Column("person", sa.String(320), nullable=False, server_default=""))
    op.create_index("holding_person", "holding", ["person"])
