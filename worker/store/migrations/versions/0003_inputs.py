"""Routing decisions name the input of a model that they are about."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column('decisions', sa.Column('input', sa.Text(), server_default='', nullable=False))
