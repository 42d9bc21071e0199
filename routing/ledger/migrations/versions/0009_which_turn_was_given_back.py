"""An entry of the pool ledger that gives a lead back names the turn that the lead took: so none is given back twice, by hand or otherwise.
Beside what members are owed stands what of it was credited by hand.

Of entries of before the turn is named as that of a record of before is (``routing.core.distribution.returns``). What was credited by
hand before, and not made up for yet, is not told from the rest of what is owed.
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("pool_entry", sa.Column("turn", sa.Text()))
    op.execute("UPDATE pool_entry SET turn = CAST(given_ms AS VARCHAR(20)) || ' ' || person WHERE given_ms IS NOT NULL")
    there = sa.text("turn IS NOT NULL")
    op.create_index("pool_entry_turn", "pool_entry", ["turn"], sqlite_where=there, postgresql_where=there)
    op.add_column("pool_member", sa.Column("granted", sa.Float(53), nullable=False, server_default="0"))
