"""Broker, store, Ray and stages on one machine, started, watched and stopped."""
