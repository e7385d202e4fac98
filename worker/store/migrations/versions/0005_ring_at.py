"""When to ring again is a column: the pause of each is its own, and is asked for in the query."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column('jobs', sa.Column('ring_at', sa.BigInteger(), server_default='0', nullable=False))
    op.add_column('deliveries', sa.Column('ring_at', sa.BigInteger(), server_default='0', nullable=False))
