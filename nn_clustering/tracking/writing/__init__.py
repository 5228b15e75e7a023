"""The way of an event to MongoDB: observer, journal, courier, delivery, sync, capture."""
