"""Every dashboard, in the order in which a person opens them."""

from typing import Final

from siad.runtime.dashboards.fleet import FLEET
from siad.runtime.dashboards.learning import LEARNING
from siad.runtime.dashboards.line import BY_LINE
from siad.runtime.dashboards.panel import Dashboard
from siad.runtime.dashboards.pods import PODS

DASHBOARDS: Final[tuple[Dashboard, ...]] = (FLEET, BY_LINE, LEARNING, PODS)
