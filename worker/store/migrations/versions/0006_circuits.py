"""The circuit breakers of destinations are in the ledger, and deliveries are found by destination."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('circuits',
    sa.Column('destination', sa.Text(), nullable=False),
    sa.Column('failures', sa.Integer(), nullable=False),
    sa.Column('open_until', sa.BigInteger(), nullable=False),
    sa.Column('changed_at', sa.BigInteger(), nullable=False),
    sa.Column('reason', sa.Text(), nullable=False),
    sa.PrimaryKeyConstraint('destination', name=op.f('pk_circuits'))
    )
    op.create_index('ix_deliveries_due', 'deliveries', ['state', 'destination', sa.literal_column('priority DESC'), 'created_at', 'delivery_id'], unique=False)
    op.drop_index('ix_deliveries_state', table_name='deliveries')
