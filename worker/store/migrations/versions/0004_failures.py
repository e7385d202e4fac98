"""Failed sendings are counted apart from attempts, which fence and never go back."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column('deliveries', sa.Column('failures', sa.Integer(), server_default='0', nullable=False))
