"""Charts as geometry: documents to marks on a plane, which a template writes as SVG. Pure."""
