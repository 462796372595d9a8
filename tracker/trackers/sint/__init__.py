"""The SINT tracker: candidates, matching on a lattice, box regression."""
