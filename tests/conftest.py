"""Servers that tests share; each is started by the first test that wants it, on loopback and free ports."""

pytest_plugins = ["tests.fixtures.kafka", "tests.fixtures.ray", "tests.fixtures.store"]
