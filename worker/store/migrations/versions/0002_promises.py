"""What others asked us to promise: storage commitment as SCP."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('promises',
    sa.Column('promise_id', sa.String(length=36), nullable=False),
    sa.Column('ae_title', sa.Text(), nullable=False),
    sa.Column('transaction_uid', sa.Text(), nullable=False),
    sa.Column('requested_at', sa.BigInteger(), nullable=False),
    sa.Column('attempt', sa.Integer(), nullable=False),
    sa.Column('not_before', sa.BigInteger(), nullable=False),
    sa.Column('scheduled_at', sa.BigInteger(), nullable=False),
    sa.Column('told_at', sa.BigInteger(), nullable=True),
    sa.Column('outcome', sa.Text(), nullable=False),
    sa.PrimaryKeyConstraint('promise_id', name=op.f('pk_promises')),
    sa.UniqueConstraint('ae_title', 'transaction_uid', name=op.f('uq_promises_ae_title_transaction_uid'))
    )
    op.create_table('promised_instances',
    sa.Column('promise_id', sa.String(length=36), nullable=False),
    sa.Column('position', sa.Integer(), nullable=False),
    sa.Column('sop_class_uid', sa.Text(), nullable=False),
    sa.Column('sop_instance_uid', sa.Text(), nullable=False),
    sa.Column('failure_reason', sa.Integer(), nullable=True),
    sa.Column('promised_until', sa.BigInteger(), nullable=True),
    sa.ForeignKeyConstraint(['promise_id'], ['promises.promise_id'], name=op.f('fk_promised_instances_promise_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('promise_id', 'position', name=op.f('pk_promised_instances'))
    )
    op.create_index(op.f('ix_promised_instances_sop_instance_uid'), 'promised_instances', ['sop_instance_uid'], unique=False)
