"""``studies doctor``: whether this machine, its settings and its data can run a study."""
