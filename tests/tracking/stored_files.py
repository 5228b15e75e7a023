"""Files as the observer stores them, for tests that need no run to make them."""

import hashlib

import gridfs


def store_file(database, name, content, digest=None):
    """Store a file; returns its entry in a run's `artifacts`."""
    metadata = {"sha256": digest or hashlib.sha256(content).hexdigest(), "size": len(content)}
    file_id = gridfs.GridFS(database).put(content, filename=name, metadata=metadata)
    return {"name": name, "file_id": file_id}
