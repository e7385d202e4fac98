"""The attempt during which its worker was asked to stop: however it ends, it does not count."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column('jobs', sa.Column('stop_asked', sa.Integer(), nullable=True))
    op.add_column('deliveries', sa.Column('stop_asked', sa.Integer(), nullable=True))
