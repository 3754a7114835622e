"""One training run, as a job on Ray: ``python -m services.trainer.job --run <run>``.

Reads the run's spec and training set from the store, trains with checkpoints in the store, stores the candidate and a
report. It decides nothing: whether the candidate may serve is the trainer's word.
"""

import argparse
import os
import sys

from siad.contracts.keys import run_report_key
from siad.runtime.blobs.open import open_blobs
from siad.runtime.blobs.settings import StoreSettings
from siad.runtime.logs import configure_logs
from siad.runtime.ray_liveness import end_with_ray
from siad.runtime.settings import is_loopback


def main() -> None:
    """Run one job; exit status 0 once its report is in the store."""
    parser = argparse.ArgumentParser(description="One training run, as a job on Ray.")
    parser.add_argument("--run", required=True, help="name of the run whose spec lies in the store")
    run = parser.parse_args().run
    configure_logs("trainer")
    address = os.environ.get("RAY_ADDRESS")
    if not address:
        sys.exit("RAY_ADDRESS is not set, so there is no Ray to train on; nothing was started. Set it to host:port.")
    store = StoreSettings.load()
    if is_loopback(address.rpartition(":")[0]):
        # else Ray, when imported, takes a loopback address for this machine's outer one, where our head does not listen
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    os.environ.setdefault("RAY_TRAIN_ENABLE_PRINT_PATCH", "0")  # it would log every line of our log once more
    import ray

    from services.trainer.job.ray_train import fit

    context = ray.init(address=address, log_to_driver=True)
    end_with_ray(context.address_info["raylet_socket_name"])  # else a run would wait out its limit
    fit(run, store)
    if open_blobs(store).head(run_report_key(run)) is None:
        sys.exit(f"run {run} ended without a report; Ray's log of its worker says why")


if __name__ == "__main__":
    main()
