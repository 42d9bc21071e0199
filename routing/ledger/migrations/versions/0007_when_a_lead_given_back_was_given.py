"""An entry of the pool ledger that gives a lead back says when that lead was given, so that it is its own place in a cap that is free again.

Of entries of before that is not known: they take the newest lead away, as they always did.
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("pool_entry", sa.Column("given_ms", sa.BigInteger()))
