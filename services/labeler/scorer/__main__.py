"""Deploy the scorer on Ray Serve: ``python -m services.labeler.scorer``."""

import os
import signal
import threading
from typing import Final

import httpx
import structlog

from services.labeler.settings import LabelerSettings
from siad.runtime.blobs.settings import StoreSettings
from siad.runtime.logs import configure_logs
from siad.runtime.ray_address import reach_loopback
from siad.runtime.ray_liveness import end_with_ray

log = structlog.get_logger()

APPLICATION: Final = "siad-labeler"
RESPONSE_S: Final = 30.0  # for the first response through the proxy
WATCH_S: Final = 5.0  # between two checks that Ray still runs the application


def main() -> None:
    """Deploy the application on the Ray at RAY_ADDRESS, until a signal."""
    settings, store = LabelerSettings.load(), StoreSettings.load()
    configure_logs("labeler", level=settings.log_level)
    address = os.environ.get("RAY_ADDRESS")
    if not address:
        msg = "RAY_ADDRESS is not set, so there is no Ray to score on; nothing was started. Set it to host:port."
        raise SystemExit(msg)
    reach_loopback(address)
    import ray
    from ray import serve
    from ray.serve.config import HTTPOptions

    from services.labeler.scorer.replicas import make_application

    context = ray.init(address=address, log_to_driver=False, namespace="siad")
    end_with_ray(context.address_info["raylet_socket_name"])
    serve.start(http_options=HTTPOptions(host="127.0.0.1", port=settings.scorer_port))
    serve.run(make_application(settings, store), name=APPLICATION, route_prefix="/")
    stop = _stop_on_signals()
    url = f"http://127.0.0.1:{settings.scorer_port}"
    _require_response(url)
    log.info("scorer_started", url=url)
    while not stop.wait(WATCH_S):
        if APPLICATION not in serve.status().applications:
            msg = f"application {APPLICATION} was removed from Ray at {address}; start this process again to deploy it"
            raise SystemExit(msg)
    serve.delete(APPLICATION)
    if not serve.status().applications:
        serve.shutdown()  # otherwise its proxy keeps the port, and the next start with another port does not get it
    log.info("scorer_stopped")


def _require_response(url: str) -> None:
    """End this process if the application does not respond at its port.

    A Serve that was started before keeps the port that it has.
    """
    try:
        httpx.get(f"{url}/healthz", timeout=RESPONSE_S).raise_for_status()
    except httpx.HTTPError as error:
        msg = (
            f"the scorer does not respond at {url}: {error}. If this Ray's Serve was started with another port, "
            "set SIAD_LABELER_SCORER_PORT to that one, or shut Serve down first."
        )
        raise SystemExit(msg) from error


def _stop_on_signals() -> threading.Event:
    """Return an event that SIGTERM and Ctrl-C set.

    Call it after ``ray.init``, whose own SIGTERM handler exits at once. A signal before that ends this process; the
    next start deploys over what it left.
    """
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop


if __name__ == "__main__":
    main()
