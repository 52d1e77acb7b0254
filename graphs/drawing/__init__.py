"""Pictures of topologies, as SVG."""
