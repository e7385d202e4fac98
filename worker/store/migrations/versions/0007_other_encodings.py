"""A known instance that came in another transfer syntax is kept, and is no conflict."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column('conflicts', sa.Column('other_encoding', sa.Boolean(), server_default=sa.false(), nullable=False))
