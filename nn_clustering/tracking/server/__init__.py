"""The MongoDB server that holds the runs, embedded or named, and a connection to it."""
