"""Tables of the projection.

Times are microseconds since 1970 in UTC, which sort and compare alike in both databases. A change here needs a
migration; ``tests/unit/console/test_console_projection_schema.py`` compares both.
"""

from typing import Final

from sqlalchemy import BigInteger, Boolean, Column, Double, Index, Integer, MetaData, Table, Text, text

METADATA: Final = MetaData()

CAPTURES: Final = Table(
    "captures",
    METADATA,
    Column("line", Text, primary_key=True),
    Column("capture_id", Text, primary_key=True),
    Column("product", Text, nullable=False),
    Column("image_uri", Text, nullable=False),
    Column("captured_us", BigInteger, nullable=False),
    Column("received_us", BigInteger, nullable=False),
    Column("serial", Text),  # NULL where it is unknown or empty
    Column("verdict_weights", Text),
    Column("verdict_score", Double),
    Column("verdict_threshold", Double),
    Column("verdict_mask_uri", Text),
    Column("judged_us", BigInteger),
    Column("pseudo_weights", Text),
    Column("pseudo_score", Double),
    Column("pseudo_threshold", Double),
    Column("pseudo_mask_uri", Text),
    Column("pseudo_confidence", Double),
    Column("score", Double),  # of the verdict, else of the pseudo-mask
    Column("decision", Text),  # by that score; NULL where there is none
    Column("state", Text, nullable=False),
    Column("answer", Text),  # verdict of the newest correction
    Column("revision", Integer, nullable=False),  # of the newest correction; 0: none
    Column("person", Text),
    Column("corrected_us", BigInteger),
    Column("classes", Text),  # of its objects: a line feed before and after each
)

CORRECTIONS: Final = Table(
    "corrections",
    METADATA,
    Column("line", Text, primary_key=True),
    Column("capture_id", Text, primary_key=True),
    Column("revision", Integer, primary_key=True),
    Column("is_published", Boolean, nullable=False),
    Column("record", Text, nullable=False),  # as in the store
)

POSITIONS: Final = Table(
    "positions",
    METADATA,
    Column("topic", Text, primary_key=True),
    Column("partition", Integer, primary_key=True),
    Column("next_offset", BigInteger, nullable=False),  # of the record that is applied next
)

LEASES: Final = Table(
    "leases",
    METADATA,
    Column("line", Text, primary_key=True),
    Column("capture_id", Text, primary_key=True),
    Column("holder", Text, nullable=False),  # a page that shows the capture
    Column("expires_us", BigInteger, nullable=False),
)

DEFERRALS: Final = Table(
    "deferrals",
    METADATA,
    Column("line", Text, primary_key=True),
    Column("capture_id", Text, primary_key=True),
    Column("person", Text, primary_key=True),
    Column("reason", Text, nullable=False),
    Column("deferred_us", BigInteger, nullable=False),
)

SESSIONS: Final = Table(
    "sessions",
    METADATA,
    Column("session_id", Text, primary_key=True),  # digest of the token
    Column("kind", Text, nullable=False),  # a session, or a link that opens one
    Column("person", Text, nullable=False),
    Column("method", Text, nullable=False),  # of sign-in
    Column("roles", Text, nullable=False),  # JSON, of a person without an account
    Column("client", Text, nullable=False),  # browser
    Column("opened_us", BigInteger, nullable=False),
    Column("expires_us", BigInteger, nullable=False),
    Index("sessions_person", "person"),
)

_C: Final = CAPTURES.c
_NEWEST: Final = (_C.received_us, _C.capture_id)
# One index for each filter by equality, in the order of pages; two databases would rather scan than use a general one.
INDEXES: Final = (
    Index("captures_newest", _C.line, *_NEWEST),
    Index("captures_product", _C.line, _C.product, *_NEWEST),
    Index("captures_decision", _C.line, _C.decision, *_NEWEST),
    Index("captures_state", _C.line, _C.state, *_NEWEST),
    Index("captures_score", _C.line, _C.score, _C.capture_id),
    *(
        Index(name, _C.line, column, *_NEWEST, sqlite_where=text(where), postgresql_where=text(where))
        for name, column, where in (
            ("captures_serial", _C.serial, "serial IS NOT NULL"),
            ("captures_answer", _C.answer, "answer IS NOT NULL"),
            ("captures_person", _C.person, "person IS NOT NULL"),
        )
    ),
)
