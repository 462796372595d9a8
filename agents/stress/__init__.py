"""The occlusion stress test: exactly controlled occlusions of moments of any video, for any tracker."""
