"""Spool index, ledger, outbox."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('conflicts',
    sa.Column('id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
    sa.Column('sop_instance_uid', sa.Text(), nullable=False),
    sa.Column('study_instance_uid', sa.Text(), nullable=False),
    sa.Column('object_key', sa.String(length=64), nullable=False),
    sa.Column('sha256', sa.String(length=64), nullable=False),
    sa.Column('size_bytes', sa.BigInteger(), nullable=False),
    sa.Column('identity_differs', sa.Boolean(), nullable=False),
    sa.Column('times', sa.Integer(), nullable=False),
    sa.Column('calling_ae_title', sa.Text(), nullable=False),
    sa.Column('association_id', sa.String(length=200), nullable=False),
    sa.Column('received_at', sa.BigInteger(), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_conflicts')),
    sa.UniqueConstraint('sop_instance_uid', 'object_key', name=op.f('uq_conflicts_sop_instance_uid_object_key'))
    )
    op.create_index(op.f('ix_conflicts_study_instance_uid'), 'conflicts', ['study_instance_uid'], unique=False)
    op.create_table('installation',
    sa.Column('only', sa.Integer(), autoincrement=False, nullable=False),
    sa.Column('installation_id', sa.String(length=36), nullable=False),
    sa.Column('created_at', sa.BigInteger(), nullable=False),
    sa.PrimaryKeyConstraint('only', name=op.f('pk_installation'))
    )
    op.create_table('listener_sessions',
    sa.Column('session_id', sa.String(length=36), nullable=False),
    sa.Column('listener_id', sa.String(length=200), nullable=False),
    sa.Column('started_at', sa.BigInteger(), nullable=False),
    sa.Column('heartbeat_at', sa.BigInteger(), nullable=False),
    sa.Column('ended_at', sa.BigInteger(), nullable=True),
    sa.PrimaryKeyConstraint('session_id', name=op.f('pk_listener_sessions'))
    )
    op.create_index(op.f('ix_listener_sessions_listener_id'), 'listener_sessions', ['listener_id'], unique=False)
    op.create_table('refusals',
    sa.Column('id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
    sa.Column('at', sa.BigInteger(), nullable=False),
    sa.Column('code', sa.Text(), nullable=False),
    sa.Column('detail', sa.Text(), nullable=False),
    sa.Column('file_name', sa.String(length=64), nullable=True),
    sa.Column('size_bytes', sa.BigInteger(), nullable=False),
    sa.Column('calling_ae_title', sa.Text(), nullable=False),
    sa.Column('association_id', sa.String(length=200), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_refusals'))
    )
    op.create_index(op.f('ix_refusals_at'), 'refusals', ['at'], unique=False)
    op.create_table('studies',
    sa.Column('study_instance_uid', sa.Text(), nullable=False),
    sa.Column('created_at', sa.BigInteger(), nullable=False),
    sa.Column('last_received_at', sa.BigInteger(), nullable=False),
    sa.PrimaryKeyConstraint('study_instance_uid', name=op.f('pk_studies'))
    )
    op.create_table('associations',
    sa.Column('session_id', sa.String(length=36), nullable=False),
    sa.Column('association_id', sa.String(length=200), nullable=False),
    sa.Column('calling_ae_title', sa.Text(), nullable=False),
    sa.Column('opened_at', sa.BigInteger(), nullable=False),
    sa.Column('released_at', sa.BigInteger(), nullable=True),
    sa.ForeignKeyConstraint(['session_id'], ['listener_sessions.session_id'], name=op.f('fk_associations_session_id')),
    sa.PrimaryKeyConstraint('session_id', 'association_id', name=op.f('pk_associations'))
    )
    op.create_table('jobs',
    sa.Column('job_id', sa.String(length=36), nullable=False),
    sa.Column('kind', sa.String(32), nullable=False),
    sa.Column('state', sa.String(32), nullable=False),
    sa.Column('study_instance_uid', sa.Text(), nullable=False),
    sa.Column('revision', sa.Integer(), nullable=False),
    sa.Column('rule', sa.Text(), nullable=False),
    sa.Column('model_name', sa.Text(), nullable=True),
    sa.Column('model_version', sa.Text(), nullable=True),
    sa.Column('model_digest', sa.String(length=64), nullable=True),
    sa.Column('series_instance_uid', sa.Text(), nullable=True),
    sa.Column('config_digest', sa.String(length=64), nullable=False),
    sa.Column('key', sa.String(length=64), nullable=True),
    sa.Column('destinations', sa.JSON(), nullable=False),
    sa.Column('priority', sa.Integer(), nullable=False),
    sa.Column('attempt', sa.Integer(), nullable=False),
    sa.Column('forgiven', sa.Integer(), nullable=False),
    sa.Column('reason', sa.Text(), nullable=False),
    sa.Column('created_at', sa.BigInteger(), nullable=False),
    sa.Column('updated_at', sa.BigInteger(), nullable=False),
    sa.Column('not_before', sa.BigInteger(), nullable=False),
    sa.Column('scheduled_at', sa.BigInteger(), nullable=False),
    sa.Column('rung_at', sa.BigInteger(), nullable=True),
    sa.Column('worker', sa.Text(), nullable=True),
    sa.Column('lease_until', sa.BigInteger(), nullable=True),
    sa.Column('heartbeat', sa.Integer(), nullable=False),
    sa.Column('superseded_by', sa.String(length=36), nullable=True),
    sa.ForeignKeyConstraint(['study_instance_uid'], ['studies.study_instance_uid'], name=op.f('fk_jobs_study_instance_uid')),
    sa.PrimaryKeyConstraint('job_id', name=op.f('pk_jobs'))
    )
    op.create_index('ix_jobs_state', 'jobs', ['state'], unique=False)
    op.create_index('ix_jobs_study_instance_uid_kind_revision', 'jobs', ['study_instance_uid', 'kind', 'revision'], unique=False)
    op.create_index('uq_jobs_key', 'jobs', ['key'], unique=True, sqlite_where=sa.text("state NOT IN ('cancelled', 'superseded')"), postgresql_where=sa.text("state NOT IN ('cancelled', 'superseded')"))
    op.create_table('arrivals',
    sa.Column('job_id', sa.String(length=36), nullable=False),
    sa.Column('instance_count', sa.Integer(), nullable=False),
    sa.Column('first_received_at', sa.BigInteger(), nullable=False),
    sa.Column('last_received_at', sa.BigInteger(), nullable=False),
    sa.Column('largest_gap_us', sa.BigInteger(), nullable=False),
    sa.ForeignKeyConstraint(['job_id'], ['jobs.job_id'], name=op.f('fk_arrivals_job_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('job_id', name=op.f('pk_arrivals'))
    )
    op.create_table('decisions',
    sa.Column('id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
    sa.Column('job_id', sa.String(length=36), nullable=False),
    sa.Column('study_instance_uid', sa.Text(), nullable=False),
    sa.Column('revision', sa.Integer(), nullable=False),
    sa.Column('rule', sa.Text(), nullable=False),
    sa.Column('model', sa.Text(), nullable=False),
    sa.Column('series_instance_uid', sa.Text(), nullable=False),
    sa.Column('chosen', sa.Boolean(), nullable=False),
    sa.Column('score', sa.Float(), nullable=True),
    sa.Column('reasons', sa.JSON(), nullable=False),
    sa.ForeignKeyConstraint(['job_id'], ['jobs.job_id'], name=op.f('fk_decisions_job_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_decisions'))
    )
    op.create_index(op.f('ix_decisions_job_id'), 'decisions', ['job_id'], unique=False)
    op.create_index(op.f('ix_decisions_study_instance_uid'), 'decisions', ['study_instance_uid'], unique=False)
    op.create_table('deliveries',
    sa.Column('delivery_id', sa.String(length=36), nullable=False),
    sa.Column('job_id', sa.String(length=36), nullable=False),
    sa.Column('destination', sa.Text(), nullable=False),
    sa.Column('study_instance_uid', sa.Text(), nullable=False),
    sa.Column('revision', sa.Integer(), nullable=False),
    sa.Column('state', sa.String(32), nullable=False),
    sa.Column('attempt', sa.Integer(), nullable=False),
    sa.Column('died', sa.Integer(), nullable=False),
    sa.Column('priority', sa.Integer(), nullable=False),
    sa.Column('reason', sa.Text(), nullable=False),
    sa.Column('created_at', sa.BigInteger(), nullable=False),
    sa.Column('updated_at', sa.BigInteger(), nullable=False),
    sa.Column('not_before', sa.BigInteger(), nullable=False),
    sa.Column('scheduled_at', sa.BigInteger(), nullable=False),
    sa.Column('rung_at', sa.BigInteger(), nullable=True),
    sa.Column('worker', sa.Text(), nullable=True),
    sa.Column('lease_until', sa.BigInteger(), nullable=True),
    sa.Column('heartbeat', sa.Integer(), nullable=False),
    sa.ForeignKeyConstraint(['job_id'], ['jobs.job_id'], name=op.f('fk_deliveries_job_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('delivery_id', name=op.f('pk_deliveries')),
    sa.UniqueConstraint('job_id', 'destination', name=op.f('uq_deliveries_job_id_destination'))
    )
    op.create_index(op.f('ix_deliveries_job_id'), 'deliveries', ['job_id'], unique=False)
    op.create_index('ix_deliveries_state', 'deliveries', ['state'], unique=False)
    op.create_index('ix_deliveries_study_instance_uid_destination', 'deliveries', ['study_instance_uid', 'destination'], unique=False)
    op.create_table('instances',
    sa.Column('id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
    sa.Column('sop_instance_uid', sa.Text(), nullable=False),
    sa.Column('sop_class_uid', sa.Text(), nullable=False),
    sa.Column('study_instance_uid', sa.Text(), nullable=False),
    sa.Column('series_instance_uid', sa.Text(), nullable=False),
    sa.Column('patient_id', sa.Text(), nullable=False),
    sa.Column('issuer_of_patient_id', sa.Text(), nullable=False),
    sa.Column('patient_name', sa.Text(), nullable=False),
    sa.Column('patient_birth_date', sa.Text(), nullable=False),
    sa.Column('accession_number', sa.Text(), nullable=False),
    sa.Column('modality', sa.Text(), nullable=False),
    sa.Column('manufacturer', sa.Text(), nullable=False),
    sa.Column('manufacturer_model_name', sa.Text(), nullable=False),
    sa.Column('device_serial_number', sa.Text(), nullable=False),
    sa.Column('transfer_syntax_uid', sa.Text(), nullable=False),
    sa.Column('sha256', sa.String(length=64), nullable=False),
    sa.Column('object_key', sa.String(length=64), nullable=False),
    sa.Column('size_bytes', sa.BigInteger(), nullable=False),
    sa.Column('kept', sa.String(32), nullable=False),
    sa.Column('own_result', sa.Boolean(), nullable=False),
    sa.Column('calling_ae_title', sa.Text(), nullable=False),
    sa.Column('session_id', sa.String(length=36), nullable=False),
    sa.Column('association_id', sa.String(length=200), nullable=False),
    sa.Column('received_at', sa.BigInteger(), nullable=False),
    sa.Column('route_job_id', sa.String(length=36), nullable=True),
    sa.Column('revision', sa.Integer(), nullable=False),
    sa.ForeignKeyConstraint(['route_job_id'], ['jobs.job_id'], name=op.f('fk_instances_route_job_id'), ondelete='SET NULL'),
    sa.ForeignKeyConstraint(['study_instance_uid'], ['studies.study_instance_uid'], name=op.f('fk_instances_study_instance_uid')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_instances')),
    sa.UniqueConstraint('sop_instance_uid', name=op.f('uq_instances_sop_instance_uid'))
    )
    op.create_index(op.f('ix_instances_object_key'), 'instances', ['object_key'], unique=False)
    op.create_index(op.f('ix_instances_route_job_id'), 'instances', ['route_job_id'], unique=False)
    op.create_index('ix_instances_study_instance_uid', 'instances', ['study_instance_uid'], unique=False)
    op.create_table('plans',
    sa.Column('route_job_id', sa.String(length=36), nullable=False),
    sa.Column('position', sa.Integer(), nullable=False),
    sa.Column('job_id', sa.String(length=36), nullable=False),
    sa.Column('is_new', sa.Boolean(), nullable=False),
    sa.ForeignKeyConstraint(['job_id'], ['jobs.job_id'], name=op.f('fk_plans_job_id'), ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['route_job_id'], ['jobs.job_id'], name=op.f('fk_plans_route_job_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('route_job_id', 'position', name=op.f('pk_plans'))
    )
    op.create_table('products',
    sa.Column('job_id', sa.String(length=36), nullable=False),
    sa.Column('gate_report', sa.JSON(), nullable=False),
    sa.Column('summary', sa.Text(), nullable=False),
    sa.Column('attempt', sa.Integer(), nullable=False),
    sa.Column('produced_at', sa.BigInteger(), nullable=False),
    sa.ForeignKeyConstraint(['job_id'], ['jobs.job_id'], name=op.f('fk_products_job_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('job_id', name=op.f('pk_products'))
    )
    op.create_table('results',
    sa.Column('id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
    sa.Column('job_id', sa.String(length=36), nullable=False),
    sa.Column('position', sa.Integer(), nullable=False),
    sa.Column('kind', sa.String(32), nullable=False),
    sa.Column('sop_class_uid', sa.String(length=64), nullable=False),
    sa.Column('sop_instance_uid', sa.String(length=64), nullable=False),
    sa.Column('series_instance_uid', sa.String(length=64), nullable=False),
    sa.Column('sha256', sa.String(length=64), nullable=False),
    sa.Column('size_bytes', sa.BigInteger(), nullable=False),
    sa.Column('kept', sa.String(32), nullable=False),
    sa.Column('created_at', sa.BigInteger(), nullable=False),
    sa.ForeignKeyConstraint(['job_id'], ['jobs.job_id'], name=op.f('fk_results_job_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_results')),
    sa.UniqueConstraint('job_id', 'position', name=op.f('uq_results_job_id_position'))
    )
    op.create_index(op.f('ix_results_sop_instance_uid'), 'results', ['sop_instance_uid'], unique=False)
    op.create_table('stages',
    sa.Column('id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
    sa.Column('job_id', sa.String(length=36), nullable=False),
    sa.Column('attempt', sa.Integer(), nullable=False),
    sa.Column('stage', sa.Text(), nullable=False),
    sa.Column('seconds', sa.Float(), nullable=False),
    sa.ForeignKeyConstraint(['job_id'], ['jobs.job_id'], name=op.f('fk_stages_job_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_stages'))
    )
    op.create_index(op.f('ix_stages_job_id'), 'stages', ['job_id'], unique=False)
    op.create_table('timeline',
    sa.Column('id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
    sa.Column('job_id', sa.String(length=36), nullable=False),
    sa.Column('at', sa.BigInteger(), nullable=False),
    sa.Column('before', sa.String(32), nullable=True),
    sa.Column('after', sa.String(32), nullable=False),
    sa.Column('attempt', sa.Integer(), nullable=False),
    sa.Column('reason', sa.Text(), nullable=False),
    sa.ForeignKeyConstraint(['job_id'], ['jobs.job_id'], name=op.f('fk_timeline_job_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_timeline'))
    )
    op.create_index(op.f('ix_timeline_job_id'), 'timeline', ['job_id'], unique=False)
    op.create_table('commitments',
    sa.Column('transaction_uid', sa.String(length=64), nullable=False),
    sa.Column('delivery_id', sa.String(length=36), nullable=False),
    sa.Column('requested_at', sa.BigInteger(), nullable=False),
    sa.Column('answer_by', sa.BigInteger(), nullable=False),
    sa.Column('answered_at', sa.BigInteger(), nullable=True),
    sa.Column('outcome', sa.Text(), nullable=False),
    sa.ForeignKeyConstraint(['delivery_id'], ['deliveries.delivery_id'], name=op.f('fk_commitments_delivery_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('transaction_uid', name=op.f('pk_commitments'))
    )
    op.create_index(op.f('ix_commitments_delivery_id'), 'commitments', ['delivery_id'], unique=False)
    op.create_table('delivery_items',
    sa.Column('delivery_id', sa.String(length=36), nullable=False),
    sa.Column('position', sa.Integer(), nullable=False),
    sa.Column('result_id', sa.BigInteger(), nullable=False),
    sa.Column('status', sa.Integer(), nullable=True),
    sa.Column('stored', sa.Boolean(), nullable=False),
    sa.Column('committed', sa.Boolean(), nullable=False),
    sa.Column('detail', sa.Text(), nullable=False),
    sa.Column('at', sa.BigInteger(), nullable=True),
    sa.ForeignKeyConstraint(['delivery_id'], ['deliveries.delivery_id'], name=op.f('fk_delivery_items_delivery_id'), ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['result_id'], ['results.id'], name=op.f('fk_delivery_items_result_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('delivery_id', 'position', name=op.f('pk_delivery_items'))
    )
    op.create_table('job_evidence',
    sa.Column('job_id', sa.String(length=36), nullable=False),
    sa.Column('position', sa.Integer(), nullable=False),
    sa.Column('instance_id', sa.BigInteger(), nullable=False),
    sa.ForeignKeyConstraint(['instance_id'], ['instances.id'], name=op.f('fk_job_evidence_instance_id'), ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['job_id'], ['jobs.job_id'], name=op.f('fk_job_evidence_job_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('job_id', 'position', name=op.f('pk_job_evidence'))
    )
    op.create_index(op.f('ix_job_evidence_instance_id'), 'job_evidence', ['instance_id'], unique=False)
