"""The single-machine supervisor: broker, store, Ray and all stages on one machine."""
