"""From a source to segments in the store and manifests on a lane."""
