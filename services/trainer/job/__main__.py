"""Run one training job on Ray: ``python -m services.trainer.job --run <run>``.

It reads the run's spec and training set from the store, trains with checkpoints in the store, and stores a candidate
and a report. Whether the candidate may serve is decided by the trainer.
"""

import argparse
import os
import sys

from siad.contracts.errors import TransientError
from siad.contracts.keys import run_report_key
from siad.runtime.blobs.open import open_blobs
from siad.runtime.blobs.settings import StoreSettings
from siad.runtime.logs import configure_logs
from siad.runtime.ray_address import reach_loopback
from siad.runtime.ray_liveness import end_with_ray


def main() -> None:
    """Run one job; exit with status 0 once its report is stored."""
    parser = argparse.ArgumentParser(description="Run one training job on Ray.")
    parser.add_argument("--run", required=True, help="name of the run, whose spec is in the store")
    run = parser.parse_args().run
    configure_logs("trainer")
    address = os.environ.get("RAY_ADDRESS")
    if not address:
        sys.exit("RAY_ADDRESS is not set, so there is no Ray to train on; nothing was started. Set it to host:port.")
    store = StoreSettings.load()
    reach_loopback(address)
    os.environ.setdefault("RAY_TRAIN_ENABLE_PRINT_PATCH", "0")  # otherwise Ray logs every line of this log once more
    import ray
    from ray.train import TrainingFailedError

    from services.trainer.job.ray_train import TooFewCpusError, fit

    try:
        context = ray.init(address=address, log_to_driver=True)
        end_with_ray(context.address_info["raylet_socket_name"])  # otherwise a run outlives its Ray until its limit
        fit(run, store)
        report = open_blobs(store).head(run_report_key(run))
    except (ConnectionError, TrainingFailedError, TransientError) as error:
        sys.exit(f"run {run} was interrupted: {error}\nThe trainer starts its job again, from its last checkpoint.")
    except TooFewCpusError as error:
        sys.exit(str(error))
    if report is None:
        sys.exit(f"run {run} ended without a report; Ray's log of its worker has the reason")


if __name__ == "__main__":
    main()
