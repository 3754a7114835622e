"""One Apache Kafka node on this machine, for `siad up`, `siad kafka` and the tests."""
