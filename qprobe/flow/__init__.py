"""One function a command: documents and paths in, a document out, nothing printed."""
